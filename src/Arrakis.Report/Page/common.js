"use strict";

// What every picture is made with: elements, the choices that pictures share, and a note beside the pointer.
const Arrakis = { pictures: [] };

{
  const SVG = "http://www.w3.org/2000/svg";

  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") element.style.cssText = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };

  /** An HTML element; text is never read as markup. */
  Arrakis.el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

  /** An SVG element. */
  Arrakis.svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** What an element holds from now on; nothing where there is nothing. */
  Arrakis.put = (host, ...children) => host.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));

  /** The size that pictures are laid out by: 1rem in pixels. */
  Arrakis.rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

  /** Draws into a host, again whenever its width changes. Returns how to draw again. */
  Arrakis.fit = (host, draw) => {
    let width = 0;
    const again = () => width > 0 && draw(width);
    new ResizeObserver(([entry]) => {
      const now = Math.floor(entry.contentRect.width);
      if (now === width) return;
      width = now;
      again();
    }).observe(host);
    return again;
  };

  // What is chosen: a position, a head, a source of flow. Pictures listen, and choose.
  const chosen = {}, listeners = {};
  Arrakis.chosen = chosen;
  Arrakis.choose = (what, value) => {
    chosen[what] = value;
    for (const listener of listeners[what] ?? []) listener(value);
  };
  Arrakis.onChoose = (what, listener) => (listeners[what] ??= []).push(listener);

  /** A short note beside the pointer, or beside what has the focus. */
  const tip = () => document.getElementById("tip");
  Arrakis.tip = (event, ...content) => {
    const note = tip(), box = event.currentTarget.getBoundingClientRect?.();
    Arrakis.put(note, content);
    note.hidden = false;
    const x = event.clientX ?? (box.left + box.right) / 2, y = event.clientY ?? box.bottom;
    const room = document.documentElement.clientWidth - note.offsetWidth - 8;
    const below = y + 18 + note.offsetHeight < innerHeight;
    note.style.left = `${Math.max(8, Math.min(room, x + 12))}px`;
    note.style.top = `${below ? y + 18 : Math.max(8, y - note.offsetHeight - 12)}px`;
    // An open dialog lies above everything else on the page.
    (document.querySelector("dialog[open]") ?? document.body).append(note);
  };
  Arrakis.untip = () => { tip().hidden = true; };

  /** One of a few words: radio buttons side by side. */
  let group = 0;
  Arrakis.choice = (label, options, value, change) => {
    const name = `choice-${group++}`;
    return Arrakis.el("fieldset", { class: "choice" }, Arrakis.el("legend", {}, label), Arrakis.el("div", {}, options.map(([key, text]) => {
      const input = Arrakis.el("input", { type: "radio", name, value: key, checked: key === value, onchange: () => change(key) });
      return Arrakis.el("label", {}, input, Arrakis.el("span", {}, text));
    })));
  };

  /** One of many: a list to pick from. */
  Arrakis.pick = (label, options, value, change) => {
    const select = Arrakis.el("select", { onchange: (event) => change(event.target.value) },
      options.map(([key, text]) => Arrakis.el("option", { value: key, selected: String(key) === String(value) }, text)));
    return Arrakis.el("label", { class: "pick" }, Arrakis.el("span", {}, label), select);
  };

  /** A number on a line, and what it says. */
  Arrakis.slide = (label, { min, max, step, value }, say, change) => {
    const output = Arrakis.el("output", {}, say(value));
    const input = Arrakis.el("input", {
      type: "range", min, max, step, value, "aria-valuetext": say(value),
      oninput: (event) => {
        const now = Number(event.target.value);
        output.textContent = say(now);
        event.target.setAttribute("aria-valuetext", say(now));
        change(now);
      },
    });
    return Arrakis.el("label", { class: "slide" }, Arrakis.el("span", {}, label), input, output);
  };

  /** Arrow keys move the focus over a lattice of elements; only one of them is in the tab order. */
  Arrakis.lattice = (host, at, step) => {
    // Chromium takes a drawing that listens for the focus as one that wants it, and Tab would stop there with nothing to do.
    if (host instanceof SVGElement) host.setAttribute("tabindex", -1);
    host.addEventListener("focusin", (event) => {
      const now = event.target.closest("[data-x]");
      if (!now) return;
      for (const before of host.querySelectorAll("[data-x][tabindex='0']")) before.setAttribute("tabindex", -1);
      now.setAttribute("tabindex", 0);
    });
    host.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const move = moves[event.key];
      const from = event.target.closest("[data-x]");
      if (!move || !from) return;
      event.preventDefault();
      const to = at(...step(Number(from.dataset.x), Number(from.dataset.y), ...move));
      to?.focus();
    });
  };

  /** The first of some elements comes into the tab order, if none of them is. */
  Arrakis.tabbable = (elements) => {
    const all = [...elements];
    if (!all.some((element) => element.getAttribute("tabindex") === "0")) all[0]?.setAttribute("tabindex", 0);
  };

  /** What Enter and Space do on something that is no button by itself. */
  Arrakis.press = (action) => ({
    onclick: action,
    onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      action(event);
    },
  });
}
