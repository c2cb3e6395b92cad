/** Small helpers to build elements; text is always set as text, never as markup. */

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const euros = (price) =>
  price == null ? "" : new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }).format(price);

/** A coloured part of a bar; widths are set through the style object, which the content security policy allows. */
export function part(kind, share) {
  const element = make("i", { class: kind });
  element.style.width = `${Math.max(0, share) * 100}%`;
  return element;
}

/** Replace the children of a keyed list and let what stays glide to its new place (FLIP). */
export function swap(list, elements) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child.getBoundingClientRect()]));
  list.replaceChildren(...elements);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const element of elements) {
    const was = before.get(element.dataset.key);
    if (!was) {
      if (before.size) element.classList.add("fresh");
      continue;
    }
    const is = element.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if (x || y) {
      element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 280, easing: "ease-out" });
    }
  }
}
