"use strict";

// A map of all heads, layer by head, layer 0 at the bottom; and small bars. Writes and reads are drawn with them.
{
  const { el, svg, rem } = Arrakis;

  /** Where a map of this width puts its cells. */
  Arrakis.mapLayout = (width, layers, heads) => {
    const left = 2.6 * rem(), below = 1.6 * rem(), right = 4.2 * rem();
    const cell = Math.max(6, Math.min(3.4 * rem(), (width - left - right) / heads));
    const rise = Math.max(6, Math.min(cell, 2.6 * rem()));
    return { left, below, cell, rise, width: left + heads * cell + right, height: layers * rise + below + 4, x: (h) => left + h * cell, y: (l) => 2 + (layers - 1 - l) * rise };
  };

  /** The names of layers and heads along a map; of many, every so many. */
  Arrakis.mapAxes = (layout, layers, heads) => {
    const { left, x, y, cell, rise } = layout, size = rem();
    const rows = Math.ceil((1.1 * size) / rise), columns = Math.ceil((2.1 * size) / cell);
    const bottom = y(0) + rise + 1.1 * size;
    return svg("g", { class: "axis", "aria-hidden": "true" },
      Array.from({ length: layers }, (_, l) => l % rows === 0 && svg("text", { x: left - 0.5 * size, y: y(l) + rise / 2, "text-anchor": "end", "dominant-baseline": "central" }, `L${l}`)),
      Array.from({ length: heads }, (_, h) => h % columns === 0 && svg("text", { x: x(h) + cell / 2, y: bottom, "text-anchor": "middle" }, `H${h}`)));
  };

  /**
   * Draws a map into a host.
   * shade(l, h): a colour, or null where there is nothing; ring(l, h): whether it is marked; say(l, h): its words; end(l): a word at the row's end.
   */
  Arrakis.map = (host, { layers, heads, label, shade, ring, say, end, choose, isChosen }) => {
    const cells = [], ends = [];
    const each = (act) => { for (let l = 0; l < layers; l++) for (let h = 0; h < heads; h++) act(l, h, cells[l][h]); };
    const note = (event) => Arrakis.tip(event, event.currentTarget.getAttribute("aria-label"));

    const build = (width) => {
      const layout = Arrakis.mapLayout(width, layers, heads), { x, y, cell, rise } = layout;
      const gap = cell > 14 ? 2 : 1, round = (kind, l, h) => svg("circle", { class: kind, cx: x(h) + cell / 2, cy: y(l) + rise / 2, r: Math.min(cell, rise) * 0.24 });
      for (let l = 0; l < layers; l++) {
        ends[l] = svg("text", { class: "end", x: x(heads) + 8, y: y(l) + rise / 2, "dominant-baseline": "central" });
        cells[l] = Array.from({ length: heads }, (_, h) => svg("g", {
          role: "button", "data-x": h, "data-y": l, ...Arrakis.press(() => { choose(l, h); paint(); }),
          onpointermove: note, onpointerleave: Arrakis.untip, onfocus: (event) => event.target.matches(":focus-visible") && note(event), onblur: Arrakis.untip,
        }, svg("rect", { x: x(h) + gap / 2, y: y(l) + gap / 2, width: cell - gap, height: rise - gap, rx: Math.min(4, cell / 6) }), round("halo", l, h), round("ring", l, h)));
      }
      const picture = svg("svg", { class: "map", width: layout.width, height: layout.height, role: "group", "aria-label": label }, Arrakis.mapAxes(layout, layers, heads), cells, ends);
      Arrakis.lattice(picture, (h, l) => cells[l]?.[h], (h, l, dx, dy) => [h + dx, l + dy]);
      Arrakis.put(host, picture);
      paint();
    };

    const paint = () => {
      if (cells.length === 0) return;
      each((l, h, node) => {
        const colour = shade(l, h), chosen = isChosen(l, h);
        node.setAttribute("class", `cell${chosen ? " chosen" : ""}${colour ? "" : " empty"}${ring(l, h) ? " marked" : ""}`);
        node.setAttribute("aria-label", say(l, h));
        node.setAttribute("aria-pressed", String(chosen));
        node.setAttribute("tabindex", chosen ? 0 : -1);
        node.firstChild.style.fill = colour ?? "";
      });
      Arrakis.tabbable(cells.flat());
      ends.forEach((text, l) => { text.textContent = end?.(l) ?? ""; });
    };
    Arrakis.fit(host, build);
    return paint;
  };

  /** Bars beside one another, one a token, up for and down against. Draws into a host. */
  Arrakis.tokenBars = (host, { data, values, say, choose, isChosen, label }) => {
    const draw = (width) => {
      const size = rem(), numbers = values(), many = numbers.length;
      const column = Math.max(1.15 * size, Math.min(3.6 * size, width / many)), high = 4.4 * size;
      const most = Math.max(...numbers.map(Math.abs)), least = Math.min(0, ...numbers), top = Math.max(0, ...numbers);
      const scale = most === 0 ? 0 : high / (top - least), zero = 4 + top * scale;
      const height = 4 + (most === 0 ? 0 : high), level = Arrakis.areLevel(data, data.tokens.map((_, t) => t), column), labels = (level ? 1.8 : 4.4) * size;
      const nodes = numbers.map((value, t) => {
        const words = say(t, value), tall = Math.max(value === 0 ? 0 : 1, Math.abs(value) * scale), chosen = isChosen?.(t);
        return svg("g", {
          class: `bar${value < 0 ? " less" : ""}${chosen ? " chosen" : ""}`, role: choose ? "button" : "img", tabindex: choose && chosen ? 0 : -1, "aria-label": words, "data-x": t, "data-y": 0,
          ...(choose ? { ...Arrakis.press(() => choose(t)), "aria-pressed": String(Boolean(chosen)) } : {}),
          onpointermove: (event) => Arrakis.tip(event, words), onpointerleave: Arrakis.untip, onfocus: (event) => event.target.matches(":focus-visible") && Arrakis.tip(event, words), onblur: Arrakis.untip,
        },
        svg("rect", { class: "touch", x: t * column, y: 0, width: column, height: height + labels }),
        svg("rect", { class: "fill", x: t * column + column * 0.14, y: value < 0 ? zero : zero - tall, width: column * 0.72, height: tall, rx: 1.5 }),
        Arrakis.tokenLabel(data, t, t * column + column / 2, height + 0.5 * size, column, level));
      });
      const picture = svg("svg", { class: "bars", width: many * column, height: height + labels, role: "group", "aria-label": label },
        svg("line", { class: "zero", x1: 0, x2: many * column, y1: zero, y2: zero }), nodes);
      if (choose) {
        Arrakis.tabbable(nodes);
        Arrakis.lattice(picture, (t) => nodes[t], (t, _, dx) => [t + dx]);
      }
      Arrakis.put(host, picture);
      const chosen = isChosen ? numbers.findIndex((_, t) => isChosen(t)) : -1;
      if (chosen >= 0) host.scrollLeft = (chosen + 0.5) * column - width / 2;
    };
    return Arrakis.fit(host, draw);
  };

  const fits = (column) => Math.floor(column / (0.52 * rem()));

  /** Whether the names of all these tokens have room under columns of this width. */
  Arrakis.areLevel = (data, positions, column) => positions.every((t) => [...Arrakis.shown(data.label(t))].length <= fits(column));

  /** A token's name under its column, level or upright. */
  Arrakis.tokenLabel = (data, position, x, y, column, level) => {
    const size = rem();
    return svg("text", level
      ? { class: "token", x, y: y + 0.5 * size, "text-anchor": "middle" }
      : { class: "token", transform: `translate(${x} ${y}) rotate(90)`, "dominant-baseline": "central" }, Arrakis.short(data.label(position), level ? fits(column) : 8));
  };

  /** A few named numbers as bars that share a scale. */
  Arrakis.fewBars = (rows, { signed = false, most = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-30) } = {}) => el("dl", { class: `few${signed ? " signed" : ""}` },
    rows.map(([name, value, said]) => [
      el("dt", {}, name),
      el("dd", {}, el("i", { class: value < 0 ? "less" : "", style: `--part:${Math.min(1, Math.abs(value) / most)}` }), el("span", {}, said ?? (signed ? Arrakis.signed(value) : Arrakis.size(value)))),
    ]));
}
