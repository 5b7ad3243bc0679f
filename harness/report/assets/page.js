"use strict";
// The page: its charts, and where the reader is in it.
(() => {
  const specs = new Map(JSON.parse(document.getElementById("report-data").textContent).map((spec) => [spec.key, spec]));
  const figures = [...document.querySelectorAll("figure[data-chart]")].filter((one) => specs.has(one.dataset.chart));

  theme.begin(() => {
    for (const figure of figures) charts.draw(figure, specs.get(figure.dataset.chart));
  });
  figures.forEach((figure) => charts.listen(figure, specs.get(figure.dataset.chart)));

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
