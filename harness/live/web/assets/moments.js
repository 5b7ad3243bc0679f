"use strict";
// What happened when: marks on the charts, and the list of events.
const moments = (() => {
  const KEPT_MAX = 500;
  const DRAWN_MAX = 60;
  const ROWS_MAX = 100;
  let kept = [];
  let changed = false;

  const tidy = (mark) => ({
    t: words.known(mark?.t) ? mark.t : 0,
    kind: words.plain(mark?.kind ?? "event", 40),
    text: words.plain(mark?.text ?? ""),
  });

  function replace(marks) {
    kept = (Array.isArray(marks) ? marks : []).slice(-KEPT_MAX).map(tidy);
    changed = true;
  }

  function append(mark) {
    kept.push(tidy(mark));
    if (kept.length > KEPT_MAX) kept.shift();
    changed = true;
    return kept[kept.length - 1];
  }

  // As a chart's marks: a phase, or of a benchmark a step, lasts until the next one; what else
  // happened is a moment. Notes are in the list alone.
  function drawn() {
    const sorted = kept.filter((mark) => mark.kind !== "note").sort((one, other) => one.t - other.t);
    const span = sorted.some((mark) => mark.kind === "step") ? "step" : "phase";
    const spans = sorted.filter((mark) => mark.kind === span);
    const shown = sorted.filter((mark) => mark.kind === span || mark.kind !== "phase").map((mark) => {
      if (mark.kind !== span) return { begin: mark.t, end: null, label: mark.text || mark.kind, kind: "event" };
      const next = spans[spans.indexOf(mark) + 1];
      return { begin: mark.t, end: next ? next.t : Infinity, label: mark.text, kind: mark.text === "warm-up" ? "warm-up" : "phase" };
    });
    return shown.slice(-DRAWN_MAX).map((mark) => ({ ...mark, label: words.plain(mark.label, 40) }));
  }

  function list() {
    if (!changed) return;
    changed = false;
    const section = document.getElementById("events");
    section.querySelector(".none").hidden = kept.length > 0;
    section.querySelector(".scroll").hidden = kept.length === 0;
    const rows = kept.slice(-ROWS_MAX).reverse().map((mark) => words.element("tr", { className: ["phase", "step", "note"].includes(mark.kind) ? "" : "happened" },
      words.element("td", { className: "n" }, words.figure(mark.t, "span")),
      words.element("th", { scope: "row", textContent: mark.kind }),
      words.element("td", { textContent: mark.text })));
    document.getElementById("events-rows").replaceChildren(...rows);
  }

  return { replace, append, drawn, list };
})();
