"use strict";

// The prompt, and what the model expects after each token.
Arrakis.pictures.push((data) => {
  const { el, percent, shown } = Arrakis;
  const section = document.getElementById("tokens"), prompt = section.querySelector(".prompt"), panel = section.querySelector(".candidates");

  const chips = data.tokens.map((token, t) => {
    const first = token.top[0], hit = token.next && token.next.rank === 0;
    return el("button", {
      type: "button", class: "chip", "data-x": t, "data-y": 0, tabindex: -1, onclick: () => Arrakis.choose("position", t),
      "aria-label": `Position ${t}, ${data.name(t)}; expects ${data.called(first)}, ${percent(first.prob)}${hit ? ", and so it goes on" : ""}`,
    },
    el("span", { class: "at" }, t), el("span", { class: "token" }, shown(token.text)),
    el("span", { class: "expects" }, shown(first.text), hit && el("b", { title: "and so it goes on" }, " ✓")),
    el("span", { class: "sure" }, el("i", { style: `--part:${first.prob}` })));
  });
  prompt.append(...chips);
  Arrakis.lattice(prompt, (t) => chips[t], (t, _, dx, dy) => [t + (dx || -dy)]);

  const row = (candidate, mark) => el("tr", { class: mark ? "next" : "" },
    el("th", { scope: "row" }, el("span", { class: "token" }, shown(candidate.text))),
    el("td", { class: "sure" }, el("i", { style: `--part:${candidate.prob}` })),
    el("td", { class: "figure" }, percent(candidate.prob)),
    el("td", { class: "figure quiet" }, Arrakis.signed(candidate.logit, 2)),
    el("td", { class: "quiet" }, mark ? "comes next" : ""));

  const show = (t) => {
    chips.forEach((chip, i) => {
      chip.setAttribute("aria-pressed", String(i === t));
      chip.tabIndex = i === t ? 0 : -1;
    });
    const token = data.tokens[t], { next } = token;
    const listed = token.top.some((candidate) => candidate.id === next?.id);
    Arrakis.put(panel,
      el("h3", {}, "After ", el("span", { class: "token" }, data.name(t)), el("span", { class: "quiet" }, ` at ${t}`)),
      el("table", { class: "candidates-table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "token"), el("th", { scope: "col", colspan: 2 }, "probability"), el("th", { scope: "col" }, "logit"), el("th", {}))),
        el("tbody", {}, token.top.map((candidate) => row(candidate, candidate.id === next?.id)), next && !listed && row(next, true))),
      next && !listed && el("p", { class: "note" }, `What does come next is the ${Arrakis.ordinal(next.rank + 1)} likeliest.`));
  };
  Arrakis.onChoose("position", show);
});
