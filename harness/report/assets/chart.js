"use strict";
// One chart: drawn, hovered, zoomed, read by keyboard, and shown as a table.
const charts = (() => {
  const drawn = [];
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const xQuantity = (spec) => (spec.xSpacing === "nines" ? "nines" : spec.xQuantity);

  function figures(spec, index, shown) {
    const rows = [];
    spec.series.forEach((one, place) => {
      const value = one.values[index];
      if (!shown[place] || value === null || value === undefined) return;
      const written = (one) => quantities.write(one, spec.yQuantity, false, spec.digits.extra);
      let words = written(value);
      if (one.low && one.low[index] !== null && one.high[index] !== null) {
        words += ` (${written(one.low[index])} to ${written(one.high[index])})`;
      }
      rows.push({ label: one.label, words, colour: plot.seriesColour(one) });
    });
    return rows;
  }

  function phaseAt(spec, x) {
    const inside = spec.marks.filter((mark) => mark.end !== null && mark.begin <= x && x < mark.end);
    return inside.map((mark) => mark.label).join(", ");
  }

  function showTip(tip, u, spec, shown) {
    const { idx, left, top } = u.cursor;
    const rows = idx === null || idx === undefined || left < 0 ? [] : figures(spec, idx, shown);
    tip.hidden = rows.length === 0;
    if (tip.hidden) return "";
    const x = spec.x[idx];
    const head = [quantities.write(x, xQuantity(spec)), spec.xSpacing === "nines" ? "percentile" : "", phaseAt(spec, x)];
    const words = head.filter(Boolean).join(" · ");
    tip.replaceChildren(
      element("p", { textContent: words }),
      element("table", {}, ...rows.map((row) => {
        const swatch = element("i");
        swatch.style.background = row.colour;
        return element("tr", {}, element("th", {}, swatch, row.label), element("td", { textContent: row.words }));
      })),
    );
    const { offsetLeft, offsetTop, clientWidth } = u.over;
    const fits = left + tip.offsetWidth + 24 < clientWidth;
    tip.style.left = `${Math.max(0, offsetLeft + (fits ? left + 14 : left - tip.offsetWidth - 14))}px`;
    tip.style.top = `${Math.max(0, offsetTop + Math.min(Math.max(top, 0), u.height - tip.offsetHeight - 40))}px`;
    return `${words}: ${rows.map((row) => `${row.label} ${row.words}`).join(", ")}`;
  }

  function sample(series) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "18");
    svg.setAttribute("height", "10");
    svg.setAttribute("aria-hidden", "true");
    const points = series.style === "points";
    const shape = document.createElementNS(svg.namespaceURI, points ? "circle" : "line");
    const sizes = points ? { cx: 9, cy: 5, r: 4 } : { x1: 0, x2: 18, y1: 5, y2: 5, "stroke-width": 2.5 };
    for (const [name, value] of Object.entries(sizes)) shape.setAttribute(name, value);
    if (series.style === "dashed") shape.setAttribute("stroke-dasharray", "5 3");
    shape.setAttribute(points ? "fill" : "stroke", plot.seriesColour(series));
    svg.append(shape);
    return svg;
  }

  function legend(host, spec, u, bands, shown) {
    host.replaceChildren(...spec.series.map((one, place) => {
      const button = element("button", { type: "button" }, sample(one), one.label);
      button.setAttribute("aria-pressed", "true");
      button.disabled = spec.stacked;
      button.addEventListener("click", () => {
        shown[place] = !shown[place];
        button.setAttribute("aria-pressed", String(shown[place]));
        u.setSeries(place + 1, { show: shown[place] });
        for (const band of bands) {
          if (band.of !== place) continue;
          u.setSeries(band.high, { show: shown[place] });
          u.setSeries(band.low, { show: shown[place] });
        }
      });
      return button;
    }));
  }

  function dataTable(spec) {
    const heads = [spec.xLabel];
    for (const one of spec.series) heads.push(one.label, ...(one.low ? [`${one.label}, low`, `${one.label}, high`] : []));
    const head = element("tr", {}, ...heads.map((words) => element("th", { scope: "col", className: "n", textContent: words })));
    const cell = (value, quantity) => {
      const shown = element("data", { textContent: quantities.write(value, quantity) });
      if (value !== null) shown.value = String(value);
      return element("td", { className: "n" }, shown);
    };
    const body = spec.x.map((x, i) => element("tr", {}, cell(x, xQuantity(spec)), ...spec.series.flatMap((one) => [
      cell(one.values[i], spec.yQuantity),
      ...(one.low ? [cell(one.low[i], spec.yQuantity), cell(one.high[i], spec.yQuantity)] : []),
    ])));
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
    return scroll;
  }

  let zooming = false;
  function zoom(u, spec, min, max) {
    const together = spec.sync ? drawn.filter((one) => one.spec.sync === spec.sync) : drawn.filter((one) => one.u === u);
    zooming = true;
    for (const one of together) one.u.setScale("x", { min, max });
    zooming = false;
    for (const one of together) {
      const { x } = one.spec;
      one.host.classList.toggle("zoomed", min > x[0] || max < x[x.length - 1]);
    }
  }
  function showAll(u, spec) {
    const together = spec.sync ? drawn.filter((one) => one.spec.sync === spec.sync) : drawn.filter((one) => one.u === u);
    const first = Math.min(...together.map((one) => one.spec.x[0]));
    const last = Math.max(...together.map((one) => one.spec.x[one.spec.x.length - 1]));
    zoom(u, spec, first, last);
  }
  function zoomBy(u, spec, factor) {
    const log = spec.xSpacing === "log";
    const [to, from] = log ? [Math.log, Math.exp] : [(x) => x, (x) => x];
    const [min, max] = [to(u.scales.x.min), to(u.scales.x.max)];
    const centre = u.cursor.left >= 0 ? to(u.posToVal(u.cursor.left, "x")) : (min + max) / 2;
    const begin = centre - (centre - min) * factor;
    const end = centre + (max - centre) * factor;
    if (factor > 1 && begin <= to(spec.x[0]) && end >= to(spec.x[spec.x.length - 1])) showAll(u, spec);
    else zoom(u, spec, from(begin), from(end));
  }

  function tools(figure, u, spec) {
    const button = (words, label, name, act) => {
      const made = element("button", { type: "button", textContent: words, title: label });
      made.setAttribute("aria-label", label);
      made.dataset.zoom = name;
      made.addEventListener("click", act);
      return made;
    };
    const choice = spec.axesChoice ? [button(spec.yLog ? "Linear" : "Log", "Logarithmic or linear axes", "axes", () => {
      spec.yLog = !spec.yLog;
      spec.xSpacing = spec.yLog ? "log" : "linear";
      draw(figure, spec);
    })] : [];
    return element("div", { className: "tools" }, ...choice,
      button("Show all", "Show all", "all", () => showAll(u, spec)),
      button("−", "Zoom out", "out", () => zoomBy(u, spec, 2)),
      button("+", "Zoom in", "in", () => zoomBy(u, spec, 0.5)));
  }

  const current = (host) => drawn.find((one) => one.host === host);

  function keyboard(host, spoken) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
    host.addEventListener("keydown", (event) => {
      const { u, spec } = current(host);
      if (event.target !== host) return;
      if (event.key in steps) {
        const step = steps[event.key];
        const from = u.cursor.idx ?? (step > 0 ? -1 : spec.x.length);
        const next = Math.min(Math.max(from + step, 0), spec.x.length - 1);
        u.setCursor({ left: u.valToPos(spec.x[next], "x"), top: 10 }, true, true);
        spoken.textContent = host.dataset.figures || "";
      } else if (event.key === "+" || event.key === "=") zoomBy(u, spec, 0.5);
      else if (event.key === "-") zoomBy(u, spec, 2);
      else if (event.key === "Escape") {
        u.setCursor({ left: -10, top: -10 }, true, true);
        showAll(u, spec);
      } else return;
      event.preventDefault();
    });
  }

  function draw(figure, spec) {
    const host = figure.querySelector(".plot");
    const tip = element("div", { className: "tip", hidden: true });
    const { data, bands } = plot.columns(spec);
    const shown = spec.series.map(() => true);
    const before = current(host);
    if (before) {
      drawn.splice(drawn.indexOf(before), 1);
      before.u.destroy();
    }
    host.replaceChildren();
    const u = new uPlot({
      width: Math.max(host.clientWidth, 120),
      height: spec.height ?? plot.HEIGHT,
      padding: [10, spec.xQuantity === "span" ? 34 : 22, 0, 0], // room for half of the last label
      legend: { show: false },
      cursor: {
        y: false,
        sync: spec.sync ? { key: spec.sync, setSeries: false } : undefined,
        points: { size: 8 },
        drag: { x: true, y: false, dist: 4 },
        bind: { dblclick: () => () => showAll(u, spec) },
      },
      scales: plot.scales(spec),
      axes: plot.axes(spec),
      series: plot.lines(spec, bands),
      bands: plot.fills(spec, bands),
      hooks: {
        drawClear: [(self) => marks.drawMoments(self, spec)],
        draw: [(self) => marks.drawIntervals(self, spec, shown)],
        setCursor: [(self) => { host.dataset.figures = showTip(tip, self, spec, shown); }],
        setSelect: [(self) => {
          const { left, width } = self.select;
          if (width > 0 && !zooming) zoom(self, spec, self.posToVal(left, "x"), self.posToVal(left + width, "x"));
        }],
      },
    }, data, host);
    drawn.push({ spec, host, u });
    host.append(tip);
    const keys = figure.querySelector(".legend");
    legend(keys, spec, u, bands, shown);
    keys.append(tools(figure, u, spec)); // beside the names, where no data is under them
  }

  function listen(figure, spec) {
    const host = figure.querySelector(".plot");
    keyboard(host, figure.querySelector(".spoken"));
    host.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") return;
      const { u } = current(host);
      const box = u.over.getBoundingClientRect();
      u.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top }, true, true);
    });
    const details = figure.querySelector("details.data");
    details.addEventListener("toggle", () => {
      details.querySelector(".scroll")?.remove();
      if (details.open) details.append(dataTable(spec));
    });
    sizes.observe(host);
  }

  // Draws values that have come since, in the place of those that are there; `spec` is the one
  // that was drawn, with the same series in the same order. What is zoomed stays as it is;
  // otherwise the last `spec.span` of x is shown, or all.
  function update(figure, spec) {
    const host = figure.querySelector(".plot");
    const { u } = current(host);
    const { min, max } = u.scales.x;
    const last = spec.x.length - 1;
    const read = host === document.activeElement && u.cursor.idx !== null ? u.data[0][u.cursor.idx] : null;
    const { data } = plot.columns(spec);
    if (host.classList.contains("zoomed")) {
      u.setData(data, false);
      u.setScale("x", { min, max });
    } else if (spec.span && spec.x[0] < spec.x[last] - spec.span) {
      u.setData(data, false);
      u.setScale("x", { min: spec.x[last] - spec.span, max: spec.x[last] });
    } else u.setData(data);
    // Whoever reads by keyboard stays at the point, not at the place where it was.
    if (read !== null) u.setCursor({ left: u.valToPos(read, "x"), top: 10 }, true, true);
  }

  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const one = current(entry.target);
      const width = Math.floor(entry.contentRect.width);
      if (one && width > 0 && width !== one.u.width) one.u.setSize({ width, height: one.u.height });
    }
  });

  return { drawn, draw, update, listen };
})();
