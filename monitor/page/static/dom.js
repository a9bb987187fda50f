// Elements from text. Everything shown comes from files that anybody may have written: it is set as
// text, never parsed as HTML.

/** An element: `attributes` by name (`on…` are listeners, null and false leave out), then children. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** Colours and sizes of the style sheet, as they are in the present scheme. */
export function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
