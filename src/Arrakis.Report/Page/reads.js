"use strict";

// Who reads: what every head takes of a direction of the stream.
Arrakis.pictures.push((data) => {
  const { el } = Arrakis;
  const section = document.getElementById("reads"), host = section.querySelector(".picture"), { layers, heads } = data.model;
  const kinds = [["head", "a head’s write"], ["embedding", "a token"], ["unembedding", "the prediction"], ["dimension", "a dimension"]]
    .filter(([kind]) => data.reads.some((read) => read.kind === kind));
  const state = { at: data.reads_open, measure: "strength", layer: 0, head: 0 };
  const measures = [["strength", "weight"], ["q_share", "share of q"], ["k_share", "share of k"], ["v_share", "share of v"]];
  document.getElementById("reads-identity").textContent =
    `Of the whole stream the shares are 1, off by at most ${Arrakis.off(Math.max(0, ...data.reads.flatMap((read) => read.layers.map((layer) => layer.error))))}: its q, k and v computed again are the run’s.`;
  if (kinds.length === 0) {
    host.append(el("p", { class: "note" }, "There is nothing here to read."));
    return;
  }

  const read = () => data.reads[state.at], layerOf = (l) => read().layers.find(({ layer }) => layer === l);
  const token = ({ index, text }) => (data.isNamed ? `${Arrakis.shown(text)} (id ${index})` : `id ${index}`);
  const name = (r) => ({
    head: () => Arrakis.head(r.layer, r.index), embedding: () => token(r), unembedding: () => token(r), dimension: () => String(r.index),
  })[r.kind]();
  const value = (l, h) => layerOf(l)?.[state.measure][h];
  const isSigned = () => state.measure !== "strength";
  const say = (number) => (isSigned() ? Arrakis.signed(number) : Arrakis.size(number));
  let most = 1;

  const which = el("div", { class: "slot" }), map = el("div", { class: "mapped" }), key = el("div"), panel = el("div", { class: "panel", "aria-live": "polite" });
  const kindHost = el("div", { class: "slot" });
  host.append(el("div", { class: "controls" }, kindHost, which, Arrakis.choice("Show", measures, "strength", (measure) => { state.measure = measure; update(); })),
    el("div", { class: "beside" }, el("div", {}, map, key), panel));

  const draw = Arrakis.map(map, {
    layers, heads, label: "Read heads, layer by head",
    shade: (l, h) => { const number = value(l, h); return number === undefined ? null : isSigned() ? Arrakis.tint(number / most) : Arrakis.shade(number / most); },
    ring: (l, h) => layerOf(l)?.selected.includes(h),
    say: (l, h) => {
      const number = value(l, h);
      if (number === undefined) return `${Arrakis.head(l, h)} is not above the head that writes`;
      return `${Arrakis.head(l, h)} ${measures.find(([measure]) => measure === state.measure)[1]} ${say(number)}${layerOf(l).selected.includes(h) ? "; a read head" : ""}`;
    },
    choose: (layer, head) => { Object.assign(state, { layer, head }); show(); },
    isChosen: (l, h) => l === state.layer && h === state.head,
  });

  const show = () => {
    const layer = layerOf(state.layer), h = state.head;
    const what = { head: "what ", embedding: "", unembedding: "what speaks for ", dimension: "dimension " }[read().kind];
    const tail = read().kind === "head" ? " writes" : "";
    if (!layer) {
      Arrakis.put(panel, el("h3", {}, Arrakis.head(state.layer, h)), el("p", {}, `It does not stand above ${name(read())}, and can read nothing of it.`));
      return;
    }
    Arrakis.put(panel,
      el("h3", {}, Arrakis.head(state.layer, h), el("span", { class: "quiet" }, ` reading ${what}${name(read())}${tail}`)),
      el("h4", {}, "How strongly it could read it"),
      Arrakis.fewBars([["q", layer.q[h]], ["k", layer.k[h]], ["v", layer.v[h]]]),
      el("h4", {}, "How much of its input came from it"),
      Arrakis.fewBars([["q", layer.q_share[h]], ["k", layer.k_share[h]], ["v", layer.v_share[h]]], { signed: true, most: Math.max(1, Math.abs(layer.q_share[h]), Math.abs(layer.k_share[h]), Math.abs(layer.v_share[h])) }),
      el("p", { class: "note" }, "The mean over the tokens; v as the head’s pattern mixes it."),
      data.pattern(state.layer, h) && el("button", { type: "button", onclick: () => Arrakis.openPattern(state.layer, h) }, "Where it looks"));
  };

  /** Opens at the head that takes the most. */
  const strongest = () => {
    let best = -1;
    for (const layer of read().layers) {
      for (let h = 0; h < heads; h++) {
        const taken = Math.max(Math.abs(layer.q_share[h]), Math.abs(layer.k_share[h]), Math.abs(layer.v_share[h]));
        if (taken > best) [best, state.layer, state.head] = [taken, layer.layer, h];
      }
    }
  };

  const update = () => {
    most = Math.max(1e-30, ...read().layers.flatMap((layer) => [...layer[state.measure]].map(Math.abs)));
    Arrakis.put(key, Arrakis.key(isSigned(), isSigned() ? say(-most) : "0", say(most)));
    draw();
    show();
  };
  const choose = (at) => { state.at = at; strongest(); update(); };
  const offer = () => {
    const some = data.reads.map((r, at) => [at, r]).filter(([, r]) => r.kind === read().kind);
    Arrakis.put(which, Arrakis.pick("Which", some.map(([at, r]) => [at, name(r)]), state.at, (at) => choose(Number(at))));
  };
  kindHost.append(Arrakis.choice("Of", kinds, read().kind, (kind) => { choose(data.reads.findIndex((r) => r.kind === kind)); offer(); }));
  offer();
  choose(state.at);
});
