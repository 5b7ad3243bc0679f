"use strict";
// A chart's specification (harness/report/charts.py) as uPlot's data and options.
const plot = (() => {
  const HEIGHT = 260;
  const DASHES = { dashed: [6, 5] };
  // Between the labels of an axis of minutes and hours, in seconds.
  // Ticks of what is counted: no halves.
  const COUNTS = Array.from({ length: 48 }, (_one, place) => [1, 2, 5][place % 3] * 10 ** Math.floor(place / 3));
  const SPANS_S = [1, 2, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

  const colourOf = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const seriesColour = (series) => colourOf(`c-${series.colour}`) || colourOf("c-slate");

  // The columns that uPlot draws: x; each series, summed up where they are stacked; and the two
  // ends of each band, which are drawn but never named.
  function columns(spec) {
    const data = [spec.x];
    const fits = (values) => (spec.yLog ? values.map((value) => (value > 0 ? value : null)) : values);
    const bands = [];
    let below = null;
    for (const one of spec.series) {
      let values = fits(one.values);
      if (spec.stacked) {
        values = values.map((value, i) => (value === null ? null : value + (below ? below[i] || 0 : 0)));
        below = values;
      }
      data.push(values);
    }
    spec.series.forEach((one, place) => {
      if (!one.low || one.style === "points") return;
      bands.push({ of: place, high: data.length, low: data.length + 1 });
      data.push(fits(one.high), fits(one.low));
    });
    return { data, bands };
  }

  function logRange(min, max) {
    if (!(min > 0)) return [0.001, 1];
    const room = Math.max(1.15, (max / min) ** 0.06);
    return [min / room, max * room];
  }

  // Round numbers, from powers of ten alone to the finest steps, until there are three of them.
  function logSplits(min, max) {
    const few = [];
    for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9]]) {
      few.length = 0;
      for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power += 1) {
        for (const step of steps) {
          const at = Number(`${step}e${power}`);
          if (at >= min && at <= max) few.push(at);
        }
      }
      if (few.length > 2) return few;
    }
    return few.length > 1 ? few : [min, max].map((at) => Number(at.toPrecision(3)));
  }

  function ninesSplits(u, min, max) {
    const room = (0.3 / (max - min)) * (u.bbox.width / devicePixelRatio) > 64;
    const all = [...(room ? [0] : []), -Math.log10(0.5), 1, 2, 3, 4, 5, 6, 7, 8];
    return all.filter((at) => at >= min - 1e-9 && at <= max + 1e-9);
  }

  function scales(spec) {
    const logX = spec.xSpacing === "log";
    return {
      x: {
        time: false,
        distr: logX ? 3 : 1,
        range: (_u, min, max) => {
          const last = spec.x.length - 1; // of a chart that goes on, not what it was
          if (last < 1 || spec.x[0] === spec.x[last]) return logX ? [min / 2, min * 2] : [min - 1, max + 1];
          return logX && min === spec.x[0] && max === spec.x[last] ? [min / 1.05, max * 1.05] : [min, max];
        },
      },
      y: {
        distr: spec.yLog ? 3 : 1,
        range: (_u, min, max) => {
          if (min === null) return spec.yLog ? [0.1, 10] : [0, 1];
          if (spec.yLog) return logRange(min, max);
          const least = spec.yMin ?? Math.min(0, min * 1.05);
          return [least, spec.yMax ?? (max > 0 ? max + (max - least) * 0.08 : 1)];
        },
      },
    };
  }

  // The labels of an axis; `digits` keeps how many more digits than usual they took.
  function labels(splits, quantity, digits) {
    digits.extra = quantities.extraDigits(splits, quantity);
    return splits.map((at) => quantities.write(at, quantity, true, digits.extra));
  }

  function axes(spec) {
    spec.digits = { extra: 0 };
    const look = {
      stroke: colourOf("quiet"),
      font: "12px ui-sans-serif, system-ui, sans-serif",
      labelFont: "12px ui-sans-serif, system-ui, sans-serif",
      grid: { stroke: colourOf("grid"), width: 1 },
      ticks: { show: false },
    };
    const xQuantity = spec.xSpacing === "nines" ? "nines" : spec.xQuantity;
    const x = {
      ...look,
      label: spec.xUnlabelled ? undefined : spec.xLabel,
      labelSize: 18,
      size: 30,
      space: 56,
      values: (_u, splits) => labels(splits, xQuantity, {}),
      grid: { show: false },
    };
    if (spec.xQuantity === "span") Object.assign(x, { incrs: SPANS_S, space: 76 });
    if (spec.xQuantity === "count") x.incrs = COUNTS;
    if (spec.xSpacing === "nines") x.splits = (u, _i, min, max) => ninesSplits(u, min, max);
    if (spec.xSpacing === "log") x.splits = (_u, _i, min, max) => logSplits(min, max);
    if (spec.xSpacing !== "linear") x.filter = (_u, splits) => splits;
    const y = {
      ...look,
      size: (_u, values) => 14 + 6.6 * Math.max(3, ...(values || []).map((one) => String(one || "").length)),
      space: 34,
      values: (_u, splits) => labels(splits, spec.yQuantity, spec.digits),
    };
    if (spec.yQuantity.startsWith("bytes")) y.incrs = Array.from({ length: 60 }, (_one, power) => 2 ** power);
    if (spec.yLog) {
      y.splits = (_u, _i, min, max) => logSplits(min, max);
      y.filter = (_u, splits) => splits;
    }
    return [x, y];
  }

  function lines(spec, bands) {
    const few = () => spec.x.length <= 24; // for as long as they are few
    const drawn = spec.series.map((one, place) => {
      const colour = seriesColour(one);
      const points = one.style === "points";
      return {
        label: one.label,
        stroke: colour,
        width: points ? 0 : 2,
        dash: DASHES[one.style],
        fill: spec.stacked && place === 0 ? `${colour}cc` : undefined,
        paths: one.style === "steps" ? uPlot.paths.stepped({ align: 1 }) : points ? () => null : undefined,
        points: { show: points || (one.style === "line" && !spec.stacked && few), size: points ? 9 : 6, fill: colour, stroke: colour },
        spanGaps: false,
      };
    });
    const edges = bands.flatMap(() => [0, 1].map(() => ({ stroke: "transparent", width: 0, points: { show: false } })));
    return [{}, ...drawn, ...edges];
  }

  function fills(spec, bands) {
    const between = bands.map((band) => ({
      series: [band.high, band.low],
      fill: `${seriesColour(spec.series[band.of])}2e`,
    }));
    if (!spec.stacked) return between;
    const layers = spec.series.slice(1).map((one, place) => ({
      series: [place + 2, place + 1],
      fill: `${seriesColour(one)}cc`,
    }));
    return [...between, ...layers];
  }

  return { HEIGHT, colourOf, seriesColour, columns, scales, axes, lines, fills };
})();
