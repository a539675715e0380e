"use strict";

// What the prediction is made of: the part of the logit that comes from every token, and their sum.
Arrakis.pictures.push((data) => {
  const { el } = Arrakis;
  const section = document.getElementById("sources"), host = section.querySelector(".picture"), { logit } = data;
  const flows = logit.sources.map(({ flow }) => flow), traced = new Map(data.flows.map((flow, at) => [flow.src, at]));
  const name = (t) => el("span", { class: "token" }, data.name(t));

  const bars = el("div", { class: "scroll" });
  const draw = Arrakis.tokenBars(bars, {
    data, label: "What every token contributes to the logit",
    values: () => flows,
    say: (t, flow) => `${data.name(t)} at ${t}: ${Arrakis.signed(flow, 4)}${traced.has(t) ? "" : flow === 0 ? "" : "; its way was left out"}`,
    choose: (t) => Arrakis.choose("source", t), isChosen: (t) => t === Arrakis.chosen.source,
  });
  const mlps = logit.mlp_sources?.map(({ flow }) => flow).reduce((a, b) => a + b, 0);
  const parts = flows.reduce((sum, flow) => sum + flow, 0);
  const here = el("p", { class: "readout", "aria-live": "polite" });
  host.append(
    el("p", { class: "goal" }, "The logit of ", el("span", { class: "token" }, data.called(logit)), ` after position ${logit.position} is `,
      el("b", { class: "figure", id: "logit-expected" }, Arrakis.signed(logit.expected, 4)), `, which makes it ${Arrakis.percent(logit.prob)} likely` + (logit.rank === 0 ? ", the likeliest." : `, the ${Arrakis.ordinal(logit.rank + 1)} likeliest.`)),
    bars, here,
    el("p", { class: "sum" }, el("span", {}, "All tokens together"), el("b", { class: "figure", id: "sources-sum" }, Arrakis.signed(parts, 4)),
      mlps !== undefined && [el("span", {}, "and the MLPs"), el("b", { class: "figure" }, Arrakis.signed(mlps, 4))],
      el("span", {}, "of"), el("b", { class: "figure" }, Arrakis.signed(logit.expected, 4)), el("span", { class: "quiet" }, `off by ${Arrakis.off(logit.error)}`)));
  document.getElementById("sources-identity").textContent =
    `The contributions add up to the logit itself: ${Arrakis.signed(logit.sum, 4)} of ${Arrakis.signed(logit.expected, 4)}, off by ${Arrakis.off(logit.error)} of the largest part.`;

  Arrakis.onChoose("source", (t) => {
    const flow = data.flows[traced.get(t)];
    Arrakis.put(here, name(t), ` at ${t} contributes `, el("b", { class: "figure", id: "source-here" }, Arrakis.signed(flows[t], 4)),
      flow ? "" : flows[t] === 0 ? ": nothing to trace." : "; its way is not in this report.");
    draw();
  });
});
