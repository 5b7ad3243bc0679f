"use strict";
// What the reader chose to see: kept for as long as the tab is open, so that a reload keeps it.
const choices = (() => {
  const { element } = words;
  const KEY = "harness-live-choices";
  const SPANS = [["", "Whole run"], ["600", "10 min"], ["60", "1 min"]];
  const chosen = { operation: "all", span: "", split: "role", one: "", ...remembered() };
  let changed = () => {};
  let listed = "";

  function remembered() {
    try { return JSON.parse(sessionStorage.getItem(KEY)) ?? {}; } catch { return {}; }
  }
  function choose(name, value) {
    chosen[name] = value;
    if (name === "split") chosen.one = "";
    try { sessionStorage.setItem(KEY, JSON.stringify(chosen)); } catch { /* then a reload forgets it */ }
    press();
    changed();
  }
  function press() {
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(chosen[button.dataset.choice] === button.value));
    }
  }
  function buttons(id, name, options) {
    document.getElementById(id).replaceChildren(...options.map(([value, label]) => {
      const button = element("button", { type: "button", value, textContent: label });
      button.dataset.choice = name;
      button.addEventListener("click", () => choose(name, value));
      return button;
    }));
  }

  function begin(redraw) {
    changed = redraw;
    buttons("choose-operation", "operation", timelines.OPERATIONS.map((name) => [name, name]));
    buttons("choose-span", "span", SPANS);
    buttons("choose-split", "split", [["role", "By role"], ["node", "By node"]]);
    document.querySelector("#choose-one select").addEventListener("change", (event) => choose("one", event.target.value));
    press();
  }

  // The choice of one node, or of one role: offered where there are several.
  function offer(store, nodes) {
    const options = chosen.split === "role" ? nodes.map(({ id, name }) => [id, name]) : store.below("cpu_percent.role.").map((role) => [role, words.plain(role, 60)]);
    const all = chosen.split === "role" ? "all nodes" : "everything";
    const now = JSON.stringify([all, options]);
    if (now === listed) return;
    listed = now;
    const label = document.getElementById("choose-one");
    const select = label.querySelector("select");
    words.say(label.querySelector("span"), chosen.split === "role" ? "on" : "of");
    select.setAttribute("aria-label", chosen.split === "role" ? "Node" : "Role");
    select.replaceChildren(...[["", all], ...options].map(([value, name]) => element("option", { value, textContent: name })));
    if (!options.some(([value]) => value === chosen.one)) chosen.one = "";
    select.value = chosen.one;
    label.hidden = options.length < 2;
  }

  return { chosen, begin, offer };
})();
