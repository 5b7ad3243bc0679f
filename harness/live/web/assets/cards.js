"use strict";
// A chart with its words: its name, what it shows, what there is to say where there is nothing to
// draw, its latest values for who does not see it, and all its values as a table.
const cards = (() => {
  const X = { xLabel: "time since the beginning", xQuantity: "span", xSpacing: "linear", xUnlabelled: true };

  function make(chart) {
    const { element } = words;
    const caption = element("p");
    const none = element("p", { className: "none" });
    const plotted = element("div", { className: "plot", tabIndex: 0, role: "group" });
    plotted.setAttribute("aria-roledescription", "chart");
    const latest = element("tbody");
    const figure = element("figure", { className: "chart empty", id: `chart-${chart.key}` },
      element("figcaption", {}, element("h3", { textContent: chart.title }), caption),
      none,
      element("div", { className: "legend" }),
      plotted,
      element("p", { className: "spoken reading" }),
      element("div", { className: "spoken" }, element("table", {}, element("caption", { textContent: `${chart.title}, the latest values` }), latest)),
      element("details", { className: "data" }, element("summary", { textContent: "The data as a table" })));
    figure.querySelector(".reading").setAttribute("aria-live", "polite");
    const place = document.getElementById(`${chart.place}-charts`);
    place.insertBefore(figure, place.querySelector("#events")); // which is the last of its place
    return { chart, figure, caption, none, plotted, latest, spec: null, listens: false };
  }

  const shape = (spec) => JSON.stringify([spec.stacked, spec.height, ...spec.series.map((one) => [one.label, one.colour])]);

  function readOut(card) {
    const { spec } = card;
    const rows = spec.series.map((one) => {
      const value = one.values.findLast((each) => each !== null);
      return [one.label, quantities.write(value, spec.yQuantity)];
    });
    while (card.latest.rows.length > rows.length) card.latest.deleteRow(-1);
    rows.forEach(([label, value], place) => {
      const row = card.latest.rows[place] ?? card.latest.appendChild(words.element("tr", {}, words.element("th", { scope: "row" }), words.element("td")));
      words.say(row.cells[0], label);
      words.say(row.cells[1], value);
    });
  }

  // Draws a card's chart from the points: the same chart with newer values where its lines are the
  // same, or else from the beginning. `afresh` for other colours.
  function show(card, store, choice, common, afresh) {
    const found = card.chart.of(store, choice);
    const empty = found.lines.length === 0;
    card.figure.classList.toggle("empty", empty);
    words.say(card.caption, found.caption ?? card.chart.caption);
    words.say(card.none, empty ? found.none ?? card.chart.none : "");
    if (empty) return false;
    const before = card.spec ? shape(card.spec) : "";
    const { key, title, yQuantity, yLog = false } = card.chart;
    card.spec = Object.assign(card.spec ?? {}, X, common, {
      key, title, yQuantity, yLog, yLabel: title, axesChoice: false, sync: "time", stacked: Boolean(found.stacked), series: found.lines,
    });
    if (afresh || before !== shape(card.spec)) {
      const names = found.lines.map((one) => one.label).join(", ");
      card.plotted.setAttribute("aria-label", `${title} over time; ${names}. Arrow keys read it out, plus and minus zoom, Escape shows all.`);
      charts.draw(card.figure, card.spec);
    } else charts.update(card.figure, card.spec);
    if (!card.listens) charts.listen(card.figure, card.spec);
    card.listens = true;
    readOut(card);
    return true;
  }

  return { make, show };
})();
