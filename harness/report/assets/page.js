"use strict";
// The page: its theme, its charts, and where the reader is in it.
(() => {
  const root = document.documentElement;
  const specs = new Map(JSON.parse(document.getElementById("report-data").textContent).map((spec) => [spec.key, spec]));
  const figures = [...document.querySelectorAll("figure[data-chart]")].filter((one) => specs.has(one.dataset.chart));

  function drawAll() {
    for (const one of charts.drawn.splice(0)) one.u.destroy();
    for (const figure of figures) charts.draw(figure, specs.get(figure.dataset.chart));
  }

  function remembered() {
    try { return localStorage.getItem("harness-report-theme"); } catch { return null; }
  }
  function setTheme(choice, remember) {
    root.dataset.theme = choice;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
    if (remember) try { localStorage.setItem("harness-report-theme", choice); } catch { /* a file may not */ }
    drawAll();
  }
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.addEventListener("click", () => setTheme(button.dataset.themeChoice, true));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (root.dataset.theme === "auto") drawAll(); });

  // Paper is white.
  let before = null;
  addEventListener("beforeprint", () => { before = root.dataset.theme; setTheme("light", false); });
  addEventListener("afterprint", () => { if (before) setTheme(before, false); before = null; });

  const stored = remembered();
  setTheme(["light", "dark"].includes(stored) ? stored : "auto", false);
  figures.forEach((figure) => charts.listen(figure, specs.get(figure.dataset.chart)));

  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const one = charts.drawn.find((each) => each.host === entry.target);
      const width = Math.floor(entry.contentRect.width);
      if (one && width > 0 && width !== one.u.width) one.u.setSize({ width, height: one.u.height });
    }
  });
  for (const figure of figures) sizes.observe(figure.querySelector(".plot"));

  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);
})();
