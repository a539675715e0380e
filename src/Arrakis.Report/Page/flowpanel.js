"use strict";

// Beside the flow: what was picked, in numbers, and the paths that use it.
{
  const { el, signed, percent } = Arrakis;

  const goes = (data, path) => {
    const stop = (t) => [el("span", { class: "token" }, data.name(t)), el("span", { class: "quiet" }, ` (${t})`)];
    const stops = [stop(path.steps[0].from)];
    for (const step of path.steps) {
      if (step.head !== null) stops.push(" → ", el("span", { class: "name" }, Arrakis.head(step.layer, step.head)), step.to !== step.from && [" → ", stop(step.to)]);
      if (step.mlp) stops.push(" → ", el("span", { class: "name" }, `MLP${step.layer}`));
    }
    if (stops.length === 1) stops.push(" stays in its stream");
    return stops;
  };

  const part = (data, total, value) => (total === 0 ? "" : ` ${percent(value / total)} of the total`);

  const paths = (data, state, chosen, choose) => {
    const some = state.flow.paths.filter(chosen), MOST = 12;
    if (some.length === 0) return el("p", { class: "note" }, "None of the listed paths.");
    return el("ol", { class: "paths" }, some.slice(0, MOST).map((path) => el("li", {},
      el("button", { type: "button", class: "link", "aria-pressed": String(state.pick?.path === path), onclick: () => choose(state.pick?.path === path ? null : { path }) }, goes(data, path)),
      el("span", { class: `figure${path.flow < 0 ? " less" : ""}` }, signed(path.flow, 4)))),
    some.length > MOST && el("li", { class: "note" }, `and ${some.length - MOST} more`));
  };

  const covered = (flow) => {
    if (flow.paths.length === 0) return null;
    return el("p", { class: "note" }, `${flow.paths.length === 1 ? "This path makes" : `The ${flow.paths.length} listed paths make`} ${percent(flow.coverage)} of the total. ` +
      (flow.paths_exhaustive ? "Every path was looked at." : "Not every path was looked at."));
  };

  const whole = (data, state, choose) => [
    el("h3", {}, "The strongest paths"),
    el("p", {}, el("span", { class: "token" }, data.name(state.flow.src)), ` at ${state.flow.src} contributes `, el("b", { class: "figure", id: "flow-total" }, signed(state.flow.total, 4)), "."),
    paths(data, state, () => true, choose), covered(state.flow)];

  const edge = (data, state, picked, choose) => {
    const { layer, head, key, query, flow } = picked, all = state.flow.per_layer[layer].heads[head];
    const role = state.flow.heads.find((one) => one.layer === layer && one.head === head), pattern = data.pattern(layer, head);
    const named = { writer: "a write head there", reader: "a read head there", both: "a write and a read head there" }[role?.role] ?? "";
    return [
      el("h3", {}, Arrakis.head(layer, head), el("span", { class: "quiet" }, " carries")),
      el("p", {}, el("span", { class: "token" }, data.name(key)), ` (${key}) → `, el("span", { class: "token" }, data.name(query)), ` (${query}) `, el("b", { class: "figure", id: "edge-flow" }, signed(flow, 4)), part(data, state.flow.total, flow)),
      el("dl", { class: "facts" },
        pattern && [el("dt", {}, "its attention there"), el("dd", { class: "figure" }, Arrakis.look(pattern, query, key).toFixed(4))],
        el("dt", {}, "carried over all its edges"), el("dd", { class: "figure" }, signed(all, 4)),
        role && [el("dt", {}, `writes at ${data.name(role.query)} (${role.query})`), el("dd", { class: "figure" }, Arrakis.size(role.query_write_norm))]),
      role && [
        el("h4", {}, "What it reads there of the source’s share"),
        Arrakis.fewBars([["q", role.q_share], ["k", role.k_share], ["v", role.v_share]], { signed: true, most: Math.max(1, Math.abs(role.q_share), Math.abs(role.k_share), Math.abs(role.v_share)) }),
        named && el("p", { class: "note" }, `It is ${named}, where it carries the most to.`)],
      el("h4", {}, "Paths that use it"),
      paths(data, state, ({ steps }) => steps[layer].head === head && steps[layer].from === key && steps[layer].to === query, choose),
      pattern && el("button", { type: "button", onclick: () => Arrakis.openPattern(layer, head) }, "Where it looks")];
  };

  const stay = (data, state, { layer, key, flow }, choose) => [
    el("h3", {}, el("span", { class: "token" }, data.name(key)), el("span", { class: "quiet" }, ` (${key}) through layer ${layer}`)),
    el("p", {}, "In its own stream stays ", el("b", { class: "figure" }, signed(flow, 4)), part(data, state.flow.total, flow), "."),
    el("p", { class: "note" }, `Of the whole flow, ${signed(state.flow.per_layer[layer].residual, 4)} stays in its streams while this layer’s heads run, and ${signed(state.flow.per_layer[layer].mlp, 4)} goes through its MLP.`),
    el("h4", {}, "Paths that stay there"), paths(data, state, ({ steps }) => steps[layer].head === null && steps[layer].from === key, choose)];

  const node = (data, state, [t, b], choose) => [
    el("h3", {}, el("span", { class: "token" }, data.name(t)), el("span", { class: "quiet" }, ` (${t}) ${b === 0 ? "below layer 0" : `after layer ${b - 1}`}`)),
    el("p", {}, el("b", { class: "figure" }, signed(state.flow.through[b].tokens[t], 4)), " passes here."),
    el("h4", {}, "Paths through it"),
    paths(data, state, ({ steps }) => (b < steps.length ? steps[b].from === t : steps[b - 1].to === t), choose)];

  /** Fills the panel with what is picked, or with the strongest paths of all. */
  Arrakis.flowPanel = (data, state, panel, choose) => {
    const { pick } = state;
    const back = el("button", { type: "button", onclick: () => choose(null) }, "All paths");
    const content = !pick || pick.path ? whole(data, state, choose)
      : pick.node ? node(data, state, pick.node, choose)
      : pick.part.kind === "stay" ? stay(data, state, pick.part, choose) : edge(data, state, pick.part, choose);
    Arrakis.put(panel, content, pick && !pick.path && back);
  };
}
