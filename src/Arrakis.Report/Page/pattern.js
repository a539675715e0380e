"use strict";

// One head's attention, large: the square with its tokens, and the same as links between tokens.
Arrakis.pictures.push((data) => {
  const { el, svg } = Arrakis;
  const dialog = document.getElementById("big"), tokens = data.tokens.length;
  const { layers, heads } = data.model;
  const state = { layer: 0, head: 0, query: tokens - 1, key: 0 };
  const saw = (position) => el("span", { class: "token" }, data.name(position));

  const title = el("h2", { id: "big-title" }), readout = el("p", { class: "readout", "aria-live": "polite" });
  const square = el("div", { class: "large" }), links = el("div", { class: "links" });
  const step = (layer, head) => {
    if (layer < 0 || head < 0 || layer >= layers || head >= heads || !data.pattern(layer, head)) return;
    Object.assign(state, { layer, head });
    draw();
  };
  const mover = (text, words, dl, dh) => el("button", { type: "button", class: "plain", "aria-label": words, title: words, onclick: () => step(state.layer + dl, state.head + dh) }, text);
  dialog.append(
    el("header", {}, title, el("div", { class: "movers" },
      mover("←", "The head before", 0, -1), mover("→", "The next head", 0, 1), mover("↑", "The layer above", 1, 0), mover("↓", "The layer below", -1, 0),
      el("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"))),
    el("p", { class: "quiet explain" }, "Rows look, columns are looked at. Point at a token or a spot to see where it looks; with the keyboard, arrows move over the square."),
    readout, el("div", { class: "two" }, square, links));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", Arrakis.untip);

  const look = (query, key) => Arrakis.look(data.pattern(state.layer, state.head), query, key);

  /** The keys of a query, the most looked at first. */
  const strongest = (query) => Array.from({ length: query + 1 }, (_, key) => key).sort((a, b) => look(query, b) - look(query, a) || a - b);

  const point = (query, key) => {
    Object.assign(state, { query, key: Math.min(key ?? strongest(query)[0], query) });
    Arrakis.put(readout, saw(state.query), ` at ${state.query} looks at `, saw(state.key), ` at ${state.key} with `,
      el("b", { class: "figure", id: "big-value" }, look(state.query, state.key).toFixed(4)));
    square.querySelectorAll(".here").forEach((node) => node.classList.remove("here"));
    square.querySelectorAll(`[data-query="${state.query}"], [data-key="${state.key}"]`).forEach((node) => node.classList.add("here"));
    const spot = square.querySelector(".spot"), unit = square.unit;
    if (spot) for (const [name, value] of [["x", state.key * unit], ["y", state.query * unit]]) spot.setAttribute(name, value);
    join();
  };

  const drawSquare = () => {
    const size = Arrakis.rem(), room = Math.min(innerWidth - 5.5 * size, Math.max(18 * size, innerHeight - 15 * size), 52 * size), margin = Math.min(6.5 * size, 0.24 * room);
    const unit = square.unit = Math.max(3, Math.floor((room - margin) / tokens)), whole = unit * tokens, every = Math.ceil((0.95 * size) / unit), below = 0.6 * size;
    const dense = Math.min(4, Math.ceil(devicePixelRatio)), canvas = el("canvas", { width: whole * dense, height: whole * dense, style: `width:${whole}px;height:${whole}px` });
    const ink = canvas.getContext("2d"), ramp = Arrakis.ramp();
    ink.scale(dense, dense);
    const gap = unit > 10 ? 1 : 0;
    for (let t = 0; t < tokens; t++) {
      for (let s = 0; s <= t; s++) {
        const at = 4 * Math.round(255 * look(t, s));
        ink.fillStyle = `rgb(${ramp[at]} ${ramp[at + 1]} ${ramp[at + 2]})`;
        ink.fillRect(s * unit, t * unit, unit - gap, unit - gap);
      }
    }
    const names = (axis) => data.tokens.map((token, i) => i % every === 0 && svg("text", axis === "query"
      ? { class: "token", "data-query": i, x: -0.4 * size, y: (i + 0.5) * unit, "text-anchor": "end", "dominant-baseline": "central" }
      : { class: "token", "data-key": i, transform: `translate(${(i + 0.5) * unit} ${-0.4 * size}) rotate(-90)`, "dominant-baseline": "central" }, Arrakis.short(token.text, 9)));
    const over = svg("svg", {
      class: "over", width: whole + margin, height: whole + margin + below, viewBox: `${-margin} ${-margin} ${whole + margin} ${whole + margin + below}`, tabindex: 0, role: "application",
      "aria-label": "The square: arrow keys move over it",
      onpointermove: (event) => {
        const box = over.getBoundingClientRect(), s = Math.floor((event.clientX - box.left - margin) / unit), t = Math.floor((event.clientY - box.top - margin) / unit);
        if (t >= 0 && t < tokens) point(t, s >= 0 && s <= t ? s : undefined);
      },
      onkeydown: (event) => {
        const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (!move) return;
        event.preventDefault();
        point(Math.max(0, Math.min(tokens - 1, state.query + move[0])), Math.max(0, state.key + move[1]));
      },
    }, names("query"), names("key"), svg("rect", { class: "spot", width: unit, height: unit }));
    canvas.style.left = canvas.style.top = `${margin}px`;
    Arrakis.put(square, canvas, over);
  };

  // Lines from the token that looks, thick by how much.
  const join = () => {
    const size = Arrakis.rem(), high = Math.max(0.7 * size, Math.min(1.6 * size, (innerHeight - 15 * size) / tokens)), wide = 17 * size, left = 6.2 * size, right = wide - left;
    const every = Math.ceil((0.95 * size) / high), y = (t) => (t + 0.5) * high + 1.6 * size;
    const line = (t, s, faint) => {
      const weight = look(t, s);
      return weight >= 0.01 && svg("path", { class: faint ? "faint" : "link", d: `M${left},${y(t)} C${wide / 2},${y(t)} ${wide / 2},${y(s)} ${right},${y(s)}`, "stroke-width": Math.max(0.5, 5 * weight), opacity: faint ? 0.5 * weight : 0.25 + 0.75 * weight });
    };
    const side = (name, x, anchor) => data.tokens.map((token, t) => (t % every === 0 || t === state[name]) && svg("g", {
      class: `end${t === state.query && name === "query" ? " here" : ""}`, onpointerenter: () => name === "query" && t !== state.query && point(t),
    }, svg("rect", { class: "touch", x: name === "query" ? 0 : right, y: y(t) - high / 2, width: left, height: high }),
    svg("text", { class: "token", x, y: y(t), "text-anchor": anchor, "dominant-baseline": "central", opacity: name === "key" ? Math.max(0.35, Math.min(1, 0.35 + look(state.query, t))) : 1 }, Arrakis.short(token.text, 9))));
    const all = tokens <= 96 ? data.tokens.map((_, t) => strongest(t).slice(0, 1).map((s) => line(t, s, true))) : [];
    Arrakis.put(links, svg("svg", { width: wide, height: tokens * high + 2 * size, role: "img", "aria-label": "Links from the token that looks to those it looks at" },
      svg("text", { class: "quiet", x: left - 0.4 * size, y: 0.8 * size, "text-anchor": "end" }, "looks"), svg("text", { class: "quiet", x: right + 0.4 * size, y: 0.8 * size }, "is looked at"),
      all, Array.from({ length: state.query + 1 }, (_, s) => line(state.query, s, false)), side("query", left - 0.4 * size, "end"), side("key", right + 0.4 * size, "start")));
  };

  const draw = () => {
    const write = data.writes.layers[state.layer], isWriter = write.selected.includes(state.head);
    Arrakis.put(title, Arrakis.head(state.layer, state.head), el("small", {}, ` head ${state.head} of layer ${state.layer}${isWriter ? ", a write head" : ""}`));
    drawSquare();
    point(state.query);
  };

  Arrakis.openPattern = (layer, head) => {
    Object.assign(state, { layer, head, query: Arrakis.chosen.position ?? tokens - 1 });
    dialog.showModal();
    draw();
  };
  Arrakis.onChoose("theme", () => dialog.open && draw());
});
