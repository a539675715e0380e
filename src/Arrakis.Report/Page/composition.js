"use strict";

// Who works with whom: arcs from heads that write to heads above that read it, by the weights alone.
Arrakis.pictures.push((data) => {
  const { el, svg } = Arrakis;
  const section = document.getElementById("composition"), host = section.querySelector(".picture"), { layers, heads } = data.model;
  const identity = document.getElementById("composition-identity");
  const kinds = data.composition.filter((kind) => kind.scores.length > 0);
  if (kinds.length === 0) {
    host.append(el("p", { class: "note" }, data.composition.length === 0 ? "It was left out of this report." : "No pair of heads composes at all: there is one layer, or the heads write nothing."));
    return;
  }

  const names = { q: "queries", k: "keys", v: "values" };
  const state = { kind: kinds[0], count: Math.min(12, kinds[0].scores.length), arc: 0 };
  const arcs = el("div", { class: "mapped arcs" }), list = el("div", { class: "panel" }), slider = el("div", { class: "slot" });
  host.append(el("div", { class: "controls" },
    Arrakis.choice("Through", kinds.map(({ kind }) => [kind, names[kind]]), state.kind.kind, (kind) => {
      state.kind = kinds.find((one) => one.kind === kind);
      state.arc = 0;
      offer();
      update();
    }), slider), el("div", { class: "beside" }, arcs, list));
  const offer = () => {
    const most = Math.min(200, state.kind.scores.length);
    state.count = Math.min(Math.max(state.count, Math.min(12, most)), most);
    Arrakis.put(slider, Arrakis.slide("Arcs", { min: 1, max: most, step: 1, value: state.count }, (count) => `${count} strongest of ${Arrakis.number(state.kind.pairs)}`, (count) => {
      state.count = count;
      update();
    }));
  };
  const pair = ({ from, to }) => `${Arrakis.head(from.layer, from.head)} → ${Arrakis.head(to.layer, to.head)}`;
  const scores = () => state.kind.scores.slice(0, state.count);

  const draw = Arrakis.fit(arcs, (width) => {
    const size = Arrakis.rem(), rise = Math.max(2.6 * size, Math.min(9 * size, (30 * size) / layers)), left = 2.6 * size;
    const column = Math.min(7 * size, (width - left - size) / heads), dot = Math.max(2.5, Math.min(0.55 * size, column / 3.2));
    const x = (h) => left + (h + 0.5) * column, y = (l) => size + (layers - 1 - l) * rise, high = size + (layers - 1) * rise + 2 * size;
    const top = scores()[0].score;
    const curve = ({ from, to }) => {
      const [x1, y1, x2, y2] = [x(from.head), y(from.layer), x(to.head), y(to.layer)], bend = (to.layer - from.layer > 1 ? 0.35 * column + 0.25 * rise : 0) * (x2 >= x1 ? 1 : -1);
      return `M${x1},${y1} C${x1 + bend},${y1 - 0.5 * (y1 - y2)} ${x2 + bend},${y2 + 0.5 * (y1 - y2)} ${x2},${y2}`;
    };
    const lines = scores().map((score, i) => svg("path", {
      class: "arc", d: curve(score), "stroke-width": Math.max(0.75, (0.45 * size * score.score) / top), "data-arc": i,
      onpointerenter: (event) => { point(i); Arrakis.tip(event, `${pair(score)}: ${Arrakis.size(score.score)}`); }, onpointerleave: Arrakis.untip, onclick: () => point(i),
    })).reverse();
    const every = Math.ceil((2.1 * size) / column), rows = Math.ceil((1.1 * size) / rise);
    Arrakis.put(arcs, svg("svg", { width: left + heads * column + size, height: high, role: "img", "aria-label": `The ${state.count} strongest pairs through ${names[state.kind.kind]}; the table lists them` },
      svg("g", { class: "axis" },
        Array.from({ length: layers }, (_, l) => l % rows === 0 && svg("text", { x: left - 0.5 * size, y: y(l), "text-anchor": "end", "dominant-baseline": "central" }, `L${l}`)),
        Array.from({ length: heads }, (_, h) => h % every === 0 && svg("text", { x: x(h), y: high - 0.5 * size, "text-anchor": "middle" }, `H${h}`))),
      lines, Array.from({ length: layers }, (_, l) => Array.from({ length: heads }, (_, h) => svg("circle", {
        class: "head", cx: x(h), cy: y(l), r: dot, "data-head": `${l} ${h}`,
        onpointerenter: (event) => { mark((s) => (s.from.layer === l && s.from.head === h) || (s.to.layer === l && s.to.head === h)); Arrakis.tip(event, Arrakis.head(l, h)); },
        onpointerleave: () => { point(state.arc); Arrakis.untip(); },
      })))));
    point(state.arc);
  });

  const mark = (lit) => {
    const all = scores(), ends = new Set();
    arcs.querySelectorAll(".arc").forEach((arc) => {
      const score = all[Number(arc.dataset.arc)], is = lit(score, Number(arc.dataset.arc));
      arc.classList.toggle("here", is);
      if (is) for (const end of [score.from, score.to]) ends.add(`${end.layer} ${end.head}`);
    });
    arcs.querySelectorAll(".head").forEach((head) => head.classList.toggle("here", ends.has(head.dataset.head)));
    list.querySelectorAll("tr[data-arc]").forEach((row) => row.classList.toggle("here", lit(all[Number(row.dataset.arc)], Number(row.dataset.arc))));
  };
  const point = (i) => { state.arc = Math.min(i, state.count - 1); mark((_, at) => at === state.arc); };

  const update = () => {
    const ahead = { q: "is told what to look for by", k: "finds tokens by", v: "passes on" }[state.kind.kind];
    Arrakis.put(list, el("h3", {}, `The later head ${ahead} what the earlier one wrote`),
      el("table", { class: "ranks" },
        el("thead", {}, el("tr", {}, ["pair", "score", "× chance", "of ceiling"].map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, scores().slice(0, 40).map((score, i) => el("tr", { "data-arc": i, onpointerenter: () => point(i) },
          el("th", { scope: "row" }, el("button", { type: "button", class: "link", onfocus: () => point(i), onclick: () => point(i) }, pair(score))),
          el("td", { class: "figure" }, Arrakis.size(score.score)), el("td", { class: "figure" }, score.normalized.toFixed(1)),
          el("td", { class: "figure" }, score.ceiling === 0 ? "" : Arrakis.percent(score.score / score.ceiling, 0)))))));
    identity.textContent = `A score lies between 0 and 1 and never above its ceiling. ${state.kind.kind === "v" ? "" : "Keys and queries are compared at the same position; rotation turns them apart with distance."}`;
    draw();
  };
  offer();
  update();
});
