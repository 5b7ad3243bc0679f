"use strict";
// Light, dark, or as the system has it: the choice in the bar, remembered; and paper, which is white.
const theme = (() => {
  const root = document.documentElement;

  function remembered() {
    try { return localStorage.getItem("harness-report-theme"); } catch { return null; }
  }

  // Shows the theme that was chosen last, and calls `redraw` now and whenever colours change.
  function begin(redraw) {
    function choose(choice, remember) {
      root.dataset.theme = choice;
      for (const button of document.querySelectorAll("[data-theme-choice]")) {
        button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
      }
      if (remember) try { localStorage.setItem("harness-report-theme", choice); } catch { /* a file may not */ }
      redraw();
    }
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.addEventListener("click", () => choose(button.dataset.themeChoice, true));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (root.dataset.theme === "auto") redraw(); });
    let before = null;
    addEventListener("beforeprint", () => { before = root.dataset.theme; choose("light", false); });
    addEventListener("afterprint", () => { if (before) choose(before, false); before = null; });
    const stored = remembered();
    choose(["light", "dark"].includes(stored) ? stored : "auto", false);
  }

  return { begin };
})();
