"use strict";

// How it got there: tokens across, layers up; what heads carry and what stays, thick by how much, coloured by its sign.
Arrakis.pictures.push((data) => {
  const { el, svg } = Arrakis;
  const section = document.getElementById("flow"), host = section.querySelector(".picture"), { layers } = data.model;
  const MOST_COLUMNS = 64, FEWEST_COLUMNS = 8, LABELLED = 24, AT_FIRST = 28, LEAST = 1e-4;
  const state = { flow: data.flows[0], threshold: 0, most: 1, pick: null };

  /** Every part of a flow: heads' edges, and what stays at a token; the strongest first. */
  const partsOf = (flow) => {
    const parts = flow.edges.map((edge) => ({ ...edge, kind: "head" }));
    flow.stays?.forEach(({ tokens }, layer) => tokens.forEach((stay, t) => { if (Math.abs(stay) > flow.least) parts.push({ kind: "stay", layer, query: t, key: t, flow: stay }); }));
    return parts.sort((a, b) => Math.abs(b.flow) - Math.abs(a.flow));
  };

  const columnsOf = (flow, parts) => {
    // Nothing flows before its source or after its destination; a few neighbours show where that is.
    const first = Math.max(0, Math.min(flow.src, flow.dst - FEWEST_COLUMNS + 1));
    if (flow.dst - first < MOST_COLUMNS) return Array.from({ length: flow.dst - first + 1 }, (_, i) => first + i);
    const kept = new Set([flow.src, flow.dst]);
    for (const { key, query } of parts) {
      if (kept.size + 2 > MOST_COLUMNS) break;
      kept.add(key).add(query);
    }
    return [...kept].sort((a, b) => a - b);
  };

  const graph = el("div", { class: "scroll graph" }), panel = el("div", { class: "panel", "aria-live": "polite" }), controls = el("div", { class: "controls" });
  host.append(controls, el("div", { class: "beside wide" }, el("div", {}, graph, Arrakis.key(true, "against", "for")), panel));

  /** The slider runs over four powers of ten. */
  const fromSlider = (value) => state.most * 10 ** (-4 + value / 25);
  const toSlider = (threshold) => Math.max(0, Math.min(100, Math.round(25 * (Math.log10(threshold / state.most) + 4))));

  /** How many parts are as strong as that: as many of the first. */
  const countFrom = (threshold, parts) => {
    const first = parts.findIndex((part) => Math.abs(part.flow) < threshold);
    return first < 0 ? parts.length : first;
  };

  const setup = () => {
    const { flow } = state;
    const parts = partsOf(flow);
    state.columns = columnsOf(flow, parts);
    const columns = new Set(state.columns);
    state.parts = parts.filter((part) => columns.has(part.key) && columns.has(part.query));
    state.most = Math.max(Math.abs(flow.total) * LEAST, Math.abs(state.parts[0]?.flow ?? 0), 1e-30);
    const nth = state.parts[Math.min(AT_FIRST, state.parts.length) - 1];
    const at = toSlider(Math.max(0.01 * state.most, Math.abs(nth?.flow ?? 0)));
    state.threshold = fromSlider(at) * 0.999;
    state.pick = null;
    const sources = data.flows.map((one) => [one.src, `${data.name(one.src, 14)} at ${one.src} (${Arrakis.signed(one.total, 2)})`]);
    Arrakis.put(controls,
      Arrakis.pick("From", sources, flow.src, (src) => Arrakis.choose("source", Number(src))),
      Arrakis.slide("Threshold", { min: 0, max: 100, step: 1, value: at }, (value) => `from ${Arrakis.size(fromSlider(value))} on, ${countFrom(fromSlider(value) * 0.999, state.parts)} of ${state.parts.length} parts`, (value) => {
        state.threshold = fromSlider(value) * 0.999;
        reveal();
      }));
    const left = flow.dst - state.columns[0] + 1 - columns.size;
    document.getElementById("flow-identity").textContent =
      (left > 0 ? `${left} tokens between, with the weakest parts, are left out of the picture. ` : "") +
      `At every height what the heads carry and what stays adds up to ${Arrakis.signed(flow.total, 4)}, all that comes from ${data.name(flow.src)} at ${flow.src}; off by ${Arrakis.off(flow.error)} of the largest part.`;
  };

  const words = (part) => (part.kind === "stay"
    ? `stays at ${data.name(part.key)} (${part.key}) through layer ${part.layer}: ${Arrakis.signed(part.flow, 4)}`
    : `${Arrakis.head(part.layer, part.head)} from ${data.name(part.key)} (${part.key}) to ${data.name(part.query)} (${part.query}): ${Arrakis.signed(part.flow, 4)}`);

  /** Whether a part belongs to what is picked: itself, what touches a token at a height, or the steps of a path. */
  const isPicked = (part) => {
    const { pick } = state;
    if (!pick) return true;
    if (pick.part) return part === pick.part;
    if (pick.node) {
      const [t, b] = pick.node;
      return (part.layer === b && part.key === t) || (part.layer === b - 1 && part.query === t);
    }
    const step = pick.path.steps[part.layer];
    return step.from === part.key && step.to === part.query && (part.kind === "head" ? step.head === part.head : step.head === null);
  };

  const light = () => {
    const { pick } = state;
    graph.querySelectorAll(".part").forEach((node) => {
      const part = state.parts[Number(node.dataset.x)];
      node.classList.toggle("dim", Boolean(pick) && !isPicked(part));
      node.classList.toggle("here", Boolean(pick) && isPicked(part));
      node.setAttribute("aria-pressed", String(Boolean(pick?.part === part)));
    });
  };
  const choose = (pick) => {
    state.pick = pick;
    light();
    Arrakis.flowPanel(data, state, panel, choose);
  };

  // What a threshold lets through is the first so many of the parts: the slider adds and takes away at the end, and nothing else is drawn again.
  let reveal = () => {};

  const draw = Arrakis.fit(graph, (width) => {
    const size = Arrakis.rem(), { columns, flow } = state;
    const cuts = width > 44 * size && layers <= 12, left = 2.6 * size, right = (cuts ? 8 : 0.6) * size, column = Math.max(1.5 * size, Math.min(6 * size, (width - left - right) / columns.length));
    const rise = Math.max(2.4 * size, Math.min(8 * size, (26 * size) / layers)), above = 2.6 * size;
    const at = new Map(columns.map((t, i) => [t, left + (i + 0.5) * column])), y = (b) => above + (layers - b) * rise;
    const whole = left + columns.length * column + right, level = Arrakis.areLevel(data, columns, column), high = y(0) + (level ? 2.4 : 5.4) * size;
    const seen = new Map();
    const bow = (part) => {
      const same = `${part.layer} ${part.key} ${part.query}`, before = seen.get(same) ?? 0;
      seen.set(same, before + 1);
      const own = part.key === part.query ? 1 : 0;
      return (before + own) * Math.min(0.8 * size, 0.3 * column) * (before % 2 ? -1 : 1);
    };
    const curve = (part) => {
      const [x1, x2, y1, y2] = [at.get(part.key), at.get(part.query), y(part.layer), y(part.layer + 1)];
      if (part.kind === "stay") return { d: `M${x1},${y1} L${x2},${y2}`, mid: [x1, (y1 + y2) / 2] };
      const shift = bow(part), half = (y1 + y2) / 2;
      return { d: `M${x1},${y1} C${x1 + shift},${half} ${x2 + shift},${half} ${x2},${y2}`, mid: [(x1 + x2) / 2 + 0.75 * shift, half] };
    };
    const thick = (value) => Math.max(1, (0.75 * size * Math.abs(value)) / state.most);
    // A name where none is yet; the strongest come first.
    const named = [], isFree = ([px, py]) => {
      if (named.some(([nx, ny]) => Math.abs(nx - px) < 1.7 * size && Math.abs(ny - py) < size)) return false;
      named.push([px, py]);
      return true;
    };
    const { parts } = state, drawn = [], curves = svg("g", { class: "parts", role: "group", "aria-label": "What heads carry and what stays" });
    let heads = 0;
    const make = (part, order) => {
      const { d, mid } = curve(part), labelled = part.kind === "head" && ++heads <= LABELLED;
      return svg("g", {
        class: `part ${part.kind}${part.flow < 0 ? " less" : ""}`, "data-x": order, "data-y": 0, role: "button", tabindex: -1, "aria-label": words(part),
        ...Arrakis.press(() => choose(state.pick?.part === part ? null : { part })),
        onpointermove: (event) => Arrakis.tip(event, words(part)), onpointerleave: Arrakis.untip, onfocus: (event) => event.target.matches(":focus-visible") && Arrakis.tip(event, words(part)), onblur: Arrakis.untip,
      }, svg("path", { class: "touch", d }), svg("path", { class: "line", d, "stroke-width": thick(part.flow) }),
      labelled && isFree(mid) && svg("text", { x: mid[0], y: mid[1], "text-anchor": "middle", "dominant-baseline": "central" }, `H${part.head}`));
    };
    const dots = columns.flatMap((t) => Array.from({ length: layers + 1 }, (_, b) => {
      const through = flow.through?.[b].tokens[t];
      const says = `${data.name(t)} at ${t} ${b === 0 ? "below layer 0" : `after layer ${b - 1}`}${through === undefined ? "" : `: ${Arrakis.signed(through, 4)} passes`}`;
      const press = through === undefined ? {} : Arrakis.press((event) => event.currentTarget.classList.contains("is") && choose({ node: [t, b] }));
      const circle = svg("circle", { class: `dot${through < 0 ? " less" : ""}`, cx: at.get(t), cy: y(b), r: 0.12 * size, ...press, onpointermove: (event) => Arrakis.tip(event, says), onpointerleave: Arrakis.untip });
      return { circle, says, most: Math.abs(through ?? 0) };
    }));
    const knots = svg("g", { role: "group", "aria-label": "What passes at a token" }, dots.map((dot) => dot.circle));
    const mark = (dot, is) => {
      dot.circle.classList.toggle("is", is);
      dot.circle.setAttribute("r", is ? 0.32 * size : 0.12 * size);
      const attributes = { tabindex: -1, role: "button", "aria-label": dot.says, "data-y": 0 };
      for (const [name, value] of Object.entries(attributes)) {
        if (is) dot.circle.setAttribute(name, value);
        else dot.circle.removeAttribute(name);
      }
      if (!is) dot.circle.removeAttribute("data-x");
    };
    let visible = 0, lit = [];
    reveal = () => {
      const count = countFrom(state.threshold, parts);
      while (drawn.length < count) drawn.push(make(parts[drawn.length], drawn.length));
      // The strongest lie on top.
      curves.prepend(...drawn.slice(visible, count).reverse());
      for (const gone of drawn.slice(count, visible)) {
        gone.remove();
        gone.setAttribute("tabindex", -1);
      }
      visible = count;
      Arrakis.tabbable(drawn.slice(0, count));
      curves.classList.toggle("labelled", parts.slice(0, count).filter((part) => part.kind === "head").length <= LABELLED);
      for (const dot of dots) {
        const is = dot.most > 0 && dot.most >= state.threshold;
        if (is !== dot.circle.classList.contains("is")) mark(dot, is);
      }
      lit = dots.map((dot) => dot.circle).filter((circle) => circle.classList.contains("is"));
      lit.forEach((circle, order) => circle.setAttribute("data-x", order));
      Arrakis.tabbable(lit);
      light();
    };
    const rows = Math.ceil((1.2 * size) / rise);
    const picture = svg("svg", { width: whole, height: high, role: "group", "aria-label": `The flow from position ${flow.src} to the logit at ${flow.dst}, strongest first` },
      svg("g", { class: "axis", "aria-hidden": "true" }, Array.from({ length: layers }, (_, l) => l % rows === 0 && svg("text", { x: left - 0.8 * size, y: (y(l) + y(l + 1)) / 2, "text-anchor": "end", "dominant-baseline": "central" }, `L${l}`)),
        columns.map((t) => svg("line", { class: "stream", x1: at.get(t), x2: at.get(t), y1: y(0), y2: y(layers) })),
        columns.map((t) => svg("g", { class: t === flow.src || t === flow.dst ? "strong" : "" }, Arrakis.tokenLabel(data, t, at.get(t), y(0) + 0.9 * size, column, level)))),
      cuts && state.flow.per_layer.map((cut) => svg("text", { class: "end", x: whole - right + 0.75 * size, y: (y(cut.layer) + y(cut.layer + 1)) / 2 - 0.55 * size },
        [["heads", cut.heads.reduce((sum, carried) => sum + carried, 0)], ["stays", cut.residual]].map(([name, number], i) =>
          svg("tspan", { x: whole - right + 0.75 * size, dy: i * 1.15 * size }, `${name} ${Arrakis.signed(number)}`)))),
      curves, knots,
      svg("text", { class: "target", x: Math.min(at.get(flow.dst), whole - 0.5 * size), y: above - 1.2 * size, "text-anchor": at.get(flow.dst) > whole - 5 * size ? "end" : "middle" }, `${data.called(data.logit, 14)} ${Arrakis.signed(flow.total, 4)}`));
    const inOrder = (order, _, dx, dy) => [order + (dx || -dy)];
    Arrakis.lattice(curves, (order) => (order < visible ? drawn[order] : undefined), inOrder);
    Arrakis.lattice(knots, (order) => lit[order], inOrder);
    Arrakis.put(graph, picture);
    reveal();
  });

  Arrakis.onChoose("source", (src) => {
    const flow = data.flows.find((one) => one.src === src);
    if (!flow) return;
    state.flow = flow;
    setup();
    draw();
    Arrakis.flowPanel(data, state, panel, choose);
  });
});
