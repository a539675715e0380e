"use strict";

// Who writes: every head's write norm, share or part of the logit, as a mean or at one token.
Arrakis.pictures.push((data) => {
  const { el } = Arrakis;
  const section = document.getElementById("writes"), host = section.querySelector(".picture"), { layers, heads } = data.model;
  const writes = data.writes.layers, last = data.logit.position;
  const state = { measure: "norm", over: "mean", layer: 0, head: writes[0].selected[0] ?? 0 };
  const mean = (row) => row.reduce((sum, value) => sum + value, 0) / row.length;

  document.getElementById("writes-rule").textContent = {
    share: `the fewest heads that make up ${Arrakis.percent(data.writes.threshold, 0)} of the layer’s writing`,
    top: `the strongest ${Arrakis.percent(data.writes.threshold, 0)} of its heads`,
    max: `those at least ${Arrakis.percent(data.writes.threshold, 0)} as strong as its strongest`,
  }[data.writes.rule];
  document.getElementById("writes-identity").textContent =
    `At every token the shares of a layer’s heads sum to 1, off by at most ${Arrakis.off(Math.max(...writes.map((layer) => layer.error)))}. ` +
    `What heads, MLPs and the embedding add to the logit sums to ${Arrakis.signed(data.logit.direct.sum, 4)}, the logit, off by ${Arrakis.off(data.logit.direct.error)}.`;

  const value = (l, h) => {
    const head = writes[l].heads[h];
    if (state.measure === "logit") return data.logit.direct.layers[l].heads[h];
    if (state.over === "mean") return state.measure === "norm" ? head.strength : mean(head.share);
    return head[state.measure][Arrakis.chosen.position];
  };
  const isSigned = () => state.measure !== "norm";
  const say = (number) => (isSigned() ? Arrakis.signed(number) : Arrakis.size(number));
  const words = { norm: "writes", share: "share", logit: "adds to the logit" };
  let most = 1;

  const map = el("div", { class: "mapped" }), panel = el("div", { class: "panel", "aria-live": "polite" }), key = el("div");
  const over = el("div", { class: "slot" });
  host.append(el("div", { class: "controls" },
    Arrakis.choice("Show", [["norm", "write norm"], ["share", "share"], ["logit", "logit"]], "norm", (measure) => { state.measure = measure; update(); }), over), el("div", { class: "beside" }, el("div", {}, map, key), panel));

  const draw = Arrakis.map(map, {
    layers, heads, label: "Write heads, layer by head",
    shade: (l, h) => (isSigned() ? Arrakis.tint(value(l, h) / most) : Arrakis.shade(value(l, h) / most)),
    ring: (l, h) => writes[l].selected.includes(h),
    say: (l, h) => `${Arrakis.head(l, h)} ${words[state.measure]} ${say(value(l, h))}${writes[l].selected.includes(h) ? "; a write head" : ""}`,
    end: (l) => {
      if (state.measure === "logit") return `MLP ${Arrakis.signed(data.logit.direct.layers[l].mlp, 2)}`;
      return state.measure === "share" ? `Σ ${Array.from({ length: heads }, (_, h) => value(l, h)).reduce((a, b) => a + b, 0).toFixed(3)}` : "";
    },
    choose: (layer, head) => { Object.assign(state, { layer, head }); show(); },
    isChosen: (l, h) => l === state.layer && h === state.head,
  });

  const bars = el("div", { class: "scroll" });
  const drawBars = Arrakis.tokenBars(bars, {
    data, label: "What the head writes at each token",
    values: () => [...writes[state.layer].heads[state.head][state.measure === "share" ? "share" : "norm"]],
    say: (t, number) => `${data.name(t)} at ${t}: ${state.measure === "share" ? Arrakis.signed(number) : Arrakis.size(number)}`,
    choose: (t) => Arrakis.choose("position", t), isChosen: (t) => t === Arrakis.chosen.position,
  });

  const show = () => {
    const { layer, head } = state, write = writes[layer].heads[head], isWriter = writes[layer].selected.includes(head);
    Arrakis.put(panel,
      el("h3", {}, Arrakis.head(layer, head), el("span", { class: "quiet" }, isWriter ? " a write head of its layer" : "")),
      el("dl", { class: "facts" },
        el("dt", {}, "write norm, mean"), el("dd", { class: "figure", id: "write-strength" }, Arrakis.size(write.strength)),
        el("dt", {}, `at ${data.name(Arrakis.chosen.position)} (${Arrakis.chosen.position})`), el("dd", { class: "figure", id: "write-here" }, Arrakis.size(write.norm[Arrakis.chosen.position])),
        el("dt", {}, "share there"), el("dd", { class: "figure" }, Arrakis.signed(write.share[Arrakis.chosen.position])),
        el("dt", {}, "by the weights alone (OV norm)"), el("dd", { class: "figure" }, Arrakis.size(write.ov_norm)),
        el("dt", {}, `adds to the logit at ${last}`), el("dd", { class: "figure" }, Arrakis.signed(data.logit.direct.layers[layer].heads[head]))),
      el("h4", {}, state.measure === "share" ? "Share at each token" : "Write norm at each token"), bars,
      data.pattern(layer, head) && el("button", { type: "button", onclick: () => Arrakis.openPattern(layer, head) }, "Where it looks"));
    drawBars();
  };

  const update = () => {
    const all = Array.from({ length: layers }, (_, l) => Array.from({ length: heads }, (_, h) => Math.abs(value(l, h)))).flat();
    most = Math.max(...all, 1e-30);
    const position = Arrakis.chosen.position;
    Arrakis.put(over, state.measure === "logit"
      ? el("p", { class: "quiet" }, `for ${data.called(data.logit)} after position ${last}`)
      : Arrakis.choice("Over", [["mean", "all tokens"], ["token", `${data.name(position, 10)} (${position})`]], state.over, (chosen) => { state.over = chosen; update(); }));
    Arrakis.put(key, Arrakis.key(isSigned(), isSigned() ? say(-most) : "0", say(most)));
    draw();
    show();
  };
  Arrakis.onChoose("position", update);
});
