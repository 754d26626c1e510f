// Elements are made one by one, their text set as text: nothing here reads markup, as Trusted Types wants it.

const SVG = "http://www.w3.org/2000/svg";

/** The element of the page with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element. `on` holds listeners, `style` custom properties and styles, `text` its text; the rest are
 * attributes: null, undefined and false are left away, true is the bare attribute. */
export function el(tag, { on, style, text, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, value] of Object.entries(style ?? {})) node.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on ?? {})) node.addEventListener(name, listener);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the icons that the page carries; it says nothing to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon and a name that is shown as its tool tip. */
export function tool(name, label, action, attributes = {}) {
  const button = el(
    "button",
    { type: "button", class: "tool", "aria-label": label, title: label, ...attributes },
    icon(name),
  );
  button.addEventListener("click", action);
  return button;
}

/** Letters of a name for a face, and a hue that is the same for the same name each time. */
export function face(name) {
  const words = name
    .trim()
    .split(/[\s._:-]+/)
    .filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? "?"];
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  return {
    letters: letters
      .map((word) => [...word][0])
      .join("")
      .toLocaleUpperCase(document.documentElement.lang),
    hue,
  };
}
