"use strict";

// Numbers and names as people read them, and the colours that stand for numbers.
{
  const digits = (value, plus, decimals) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    const text = size < 1e-3 ? size.toExponential(1) : size < 100 ? size.toFixed(decimals) : size < 1e5 ? size.toFixed(1) : size.toExponential(2);
    return (value < 0 ? "−" : plus) + text;
  };

  /** A size, or a part of one. */
  Arrakis.size = (value) => digits(value, "", 3);

  /** What may oppose: with its sign. */
  Arrakis.signed = (value, decimals = 3) => digits(value, "+", decimals);

  /** A part of a whole. */
  Arrakis.percent = (value, decimals = 1) => `${(100 * value).toFixed(decimals).replace("-", "−")} %`;

  /** How far an identity is off. */
  Arrakis.off = (value) => (value === 0 ? "0" : value.toExponential(1));

  Arrakis.head = (layer, head) => `L${layer}H${head}`;

  /** A token with its white space in sight. */
  Arrakis.shown = (text) => {
    const seen = text.replace(/ /g, "·").replace(/\n/g, "⏎").replace(/\r/g, "␍").replace(/\t/g, "⇥");
    return seen === "" ? "∅" : seen;
  };

  Arrakis.short = (text, most) => {
    const seen = [...Arrakis.shown(text)];
    return seen.length > most ? `${seen.slice(0, most - 1).join("")}…` : seen.join("");
  };

  Arrakis.number = (value) => value.toLocaleString("en");

  const endings = { one: "st", two: "nd", few: "rd", other: "th" }, order = new Intl.PluralRules("en", { type: "ordinal" });

  /** A place in an order: 1st, 2nd. */
  Arrakis.ordinal = (value) => Arrakis.number(value) + endings[order.select(value)];

  /** A colour from nothing to all, and from against to for, that follows the theme by itself. */
  Arrakis.shade = (part) => `color-mix(in oklab, var(--more) ${(100 * Math.min(1, Math.max(0, part))).toFixed(1)}%, var(--none))`;
  Arrakis.tint = (part) => {
    const much = Math.min(1, Math.abs(part));
    return `color-mix(in oklab, var(${part < 0 ? "--less" : "--more"}) ${(100 * much).toFixed(1)}%, var(--none))`;
  };

  /** 256 colours from --none to --more as bytes, for canvases. */
  Arrakis.ramp = () => {
    const canvas = Arrakis.el("canvas", { width: 256, height: 1 }), ink = canvas.getContext("2d", { willReadFrequently: true });
    const probe = document.body.appendChild(Arrakis.el("i", { hidden: true }));
    for (let i = 0; i < 256; i++) {
      probe.style.color = Arrakis.shade(i / 255);
      ink.fillStyle = getComputedStyle(probe).color;
      ink.fillRect(i, 0, 1, 1);
    }
    probe.remove();
    return ink.getImageData(0, 0, 256, 1).data;
  };

  /** A key to the colours. */
  Arrakis.key = (signed, least, most) => Arrakis.el("div", { class: "key" },
    Arrakis.el("span", {}, least), Arrakis.el("i", { class: signed ? "signed" : "plain" }), Arrakis.el("span", {}, most));
}
