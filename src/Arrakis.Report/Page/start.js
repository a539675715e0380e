"use strict";

// Opens the data, draws every picture, and makes the first choices.
{
  const { el } = Arrakis;

  const theme = () => {
    const button = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
    const say = () => button.setAttribute("aria-label", isDark() ? "Change to light" : "Change to dark");
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      say();
      Arrakis.choose("theme", root.dataset.theme);
    });
    dark.addEventListener("change", () => { say(); Arrakis.choose("theme", isDark() ? "dark" : "light"); });
    say();
  };

  const lead = ({ model, tokens, logit, called }) => {
    const count = (number, noun) => `${Arrakis.number(number)} ${noun}${number === 1 ? "" : "s"}`;
    Arrakis.put(document.getElementById("lead"),
      "in ", el("b", {}, model.name), ` (${count(model.layers, "layer")} of ${count(model.heads, "head")}, ${count(model.parameters, "parameter")}) with a prompt of ${count(tokens.length, "token")}. `,
      "It goes on with ", el("b", { class: "token" }, called(tokens.at(-1).top[0])), `, ${Arrakis.percent(tokens.at(-1).top[0].prob)} sure.`,
      logit.position === tokens.length - 1 && logit.id === tokens.at(-1).top[0].id ? "" : ` Taken apart here is ${called(logit)} after position ${logit.position}.`);
  };

  const leftOut = (sentences) => {
    if (sentences.length === 0) return;
    document.getElementById("left-out").append(el("h2", {}, "What was left out"), el("ul", {}, sentences.map((sentence) => el("li", {}, sentence))));
  };

  const start = async () => {
    theme();
    const data = await Arrakis.read();
    lead(data);
    leftOut(data.left_out);
    Arrakis.chosen.position = data.logit.position;
    for (const picture of Arrakis.pictures) picture(data);
    Arrakis.choose("position", data.logit.position);
    Arrakis.choose("source", data.flows[0].src);
    // Pictures are drawn once they have a width; then the place that was asked for stays where it is.
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    document.getElementById(location.hash.slice(1))?.scrollIntoView({ behavior: "instant" });
    document.documentElement.dataset.ready = "yes";
  };

  start().catch((error) => {
    Arrakis.put(document.getElementById("lead"), el("span", { class: "fault" }, `The page could not be drawn: ${error.message}. A browser of 2023 or later draws it.`));
    throw error;
  });
}
