"use strict";

// A small square of every head's attention; each opens large.
Arrakis.pictures.push((data) => {
  const { el } = Arrakis;
  const section = document.getElementById("attention"), host = section.querySelector(".picture");
  const { layers, heads } = data.model, tokens = data.tokens.length;
  document.getElementById("attention-identity").textContent =
    `Each row is a whole: it sums to 1, off by at most ${Arrakis.off(data.attention.error)}.`;

  let ramp = Arrakis.ramp();
  const paint = (canvas) => {
    const pattern = data.pattern(Number(canvas.dataset.layer), Number(canvas.dataset.head));
    const ink = canvas.getContext("2d"), image = ink.createImageData(tokens, tokens);
    for (let t = 0, at = 0; t < tokens; t++) {
      for (let s = 0; s <= t; s++, at++) {
        const colour = 4 * Math.round(255 * pattern[at]), pixel = 4 * (t * tokens + s);
        for (let i = 0; i < 3; i++) image.data[pixel + i] = ramp[colour + i];
        image.data[pixel + 3] = 255;
      }
    }
    ink.putImageData(image, 0, 0);
  };

  // Squares are painted when they come into sight.
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      paint(target);
    }
  }, { rootMargin: "300px" });

  const squares = [];
  const square = (layer, head) => {
    const name = Arrakis.head(layer, head);
    if (!data.pattern(layer, head)) return el("span", { class: "square out", title: `${name} was left out` }, el("span", {}, "left out"));
    const canvas = el("canvas", { width: tokens, height: tokens, "data-layer": layer, "data-head": head, "aria-hidden": "true" });
    squares.push(canvas);
    return el("button", {
      type: "button", class: "square", "aria-label": `${name}: open its attention`, "data-x": head, "data-y": layer, tabindex: -1, onclick: () => Arrakis.openPattern(layer, head),
    }, canvas, el("span", {}, `H${head}`));
  };

  const grid = el("div", { class: `squares${heads > 12 ? " dense" : ""}`, style: `--heads:${heads}`, role: "group", "aria-label": "Attention of every head" },
    Array.from({ length: layers }, (_, layer) => el("div", { class: "layer" },
      el("span", { class: "name" }, el("span", {}, "Layer "), layer), el("div", { class: "row" }, Array.from({ length: heads }, (_, head) => square(layer, head))))));
  const buttons = new Map([...grid.querySelectorAll("button")].map((button) => [`${button.dataset.x} ${button.dataset.y}`, button]));
  Arrakis.tabbable(buttons.values());
  Arrakis.lattice(grid, (x, y) => buttons.get(`${x} ${y}`), (x, y, dx, dy) => [x + dx, y + dy]);
  host.append(el("div", { class: "scroll" }, grid), Arrakis.key(false, "none", "all of a row’s attention"));
  squares.forEach((canvas) => seen.observe(canvas));
  Arrakis.onChoose("theme", () => {
    ramp = Arrakis.ramp();
    squares.forEach((canvas) => { seen.unobserve(canvas); seen.observe(canvas); });
  });
});
