"use strict";
// Text that came from anywhere, as text of one printable line; and elements made of text alone.
const words = (() => {
  const LENGTH_MAX = 200;

  // What does not print, or turns the direction of text, is replaced, as in a report.
  function plain(text, most = LENGTH_MAX) {
    const shown = Array.from(String(text ?? "").slice(0, 4 * most + 4));
    const cut = shown.length > most ? [...shown.slice(0, most), "…"] : shown;
    return cut.map((char) => (char === " " || !/[\p{C}\p{Z}]/u.test(char) ? char : "\uFFFD")).join("");
  }

  // A value of a plan, in words.
  function readable(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    return plain(typeof value === "object" ? JSON.stringify(value) : value);
  }

  function element(name, properties = {}, ...children) {
    const { role, label, ...others } = properties;
    const made = Object.assign(document.createElement(name), others);
    if (role) made.setAttribute("role", role);
    if (label) made.setAttribute("aria-label", label);
    made.append(...children);
    return made;
  }

  // A number with its quantity in the document keeps its value for whoever reads it by machine.
  function figure(value, quantity) {
    const made = element("data", { textContent: quantities.write(value, quantity) });
    if (typeof value === "number") made.value = String(value);
    return made;
  }

  // Sets text only where it differs: a reader's selection and a screen reader are left in peace.
  function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  const counted = (number, name) => `${quantities.write(number, "count")} ${name}${number === 1 ? "" : "s"}`;
  const known = (value) => typeof value === "number" && Number.isFinite(value);

  return { plain, readable, element, figure, say, counted, known };
})();
