"use strict";
// How numbers are written, as harness/report/quantities.py writes them: three significant digits.
const quantities = (() => {
  const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

  // With its zeros ("4.20") or, for the labels of axes, without ("4.2"); `extra` digits more,
  // where figures differ by less than three digits show.
  function digits(value, trim, extra = 0) {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size < 0.000995) return value.toExponential(trim ? extra : 2 + extra).replace("e-0", "e-");
    if (size < 0.0995) {
      const precise = value.toPrecision(3 + extra);
      return trim ? String(Number(precise)) : precise;
    }
    const decimals = extra + (size < 0.9995 ? 3 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
    return value.toLocaleString("en-US", {
      minimumFractionDigits: trim ? 0 : decimals,
      maximumFractionDigits: decimals,
    });
  }

  function time(milliseconds, trim, extra) {
    const size = Math.abs(milliseconds);
    if (size === 0) return "0";
    if (size < 0.9995) return `${digits(milliseconds * 1e3, trim, extra)} µs`;
    if (size < 999.5) return `${digits(milliseconds, trim, extra)} ms`;
    return `${digits(milliseconds / 1e3, trim, extra)} s`;
  }

  function size(bytes, trim, extra) {
    let value = bytes;
    let unit = 0;
    while (Math.abs(value) >= 999.5 && unit < SIZES.length - 1) {
      value /= 1024;
      unit += 1;
    }
    return `${digits(value, trim, extra)} ${SIZES[unit]}`;
  }

  // As harness.report.figures.span: 4.2 s, 1 min 05 s, 2 h 03 min.
  function span(seconds, trim) {
    if (seconds < 59.95) return `${trim ? Number(seconds.toFixed(1)) : Math.max(0, seconds).toFixed(1)} s`;
    const whole = Math.round(seconds);
    const [large, of, small, parts] = whole < 3600 ? ["min", 60, "s", whole % 60] : ["h", 3600, "min", Math.floor((whole % 3600) / 60)];
    const much = `${Math.floor(whole / of)} ${large}`;
    return trim && parts === 0 ? much : `${much} ${String(parts).padStart(2, "0")} ${small}`;
  }

  function nines(value) {
    if (value === 0) return "least";
    const percent = 100 * (1 - 10 ** -value);
    const decimals = Math.max(0, Math.ceil(value - 2 + 1e-9) + (Number.isInteger(value) ? 0 : 1));
    return `${Number(percent.toFixed(Math.min(decimals, 9)))}%`;
  }

  // A count on an axis: 10k, 1.5M.
  function short(value) {
    const [scale, unit] = value >= 1e9 ? [1e9, "G"] : value >= 1e6 ? [1e6, "M"] : [1e3, "k"];
    return `${Number((value / scale).toPrecision(3))}${unit}`;
  }

  function write(value, quantity, trim = false, extra = 0) {
    if (value === null || value === undefined) return "–";
    switch (quantity) {
      case "count":
        if (trim && value >= 10000 && !extra) return short(value);
        return value.toLocaleString("en-US", { maximumFractionDigits: trim ? 1 : 2 });
      case "milliseconds": return time(value, trim, extra);
      case "seconds": return `${digits(value, trim, extra)} s`;
      case "span": return span(value, trim);
      case "bytes": return size(value, trim, extra);
      case "bytes_s": return `${size(value, trim, extra)}/s`;
      case "percent": return `${digits(value, trim, extra)}%`;
      case "ratio": return `${digits(value * 100, trim, extra)}%`;
      case "rate": return `${digits(value, trim, extra)}/s`;
      case "nines": return nines(value);
      default: return digits(value, trim, extra);
    }
  }

  // How many digits more it takes to tell the labels of an axis apart.
  function extraDigits(values, quantity) {
    for (let extra = 0; extra < 6; extra += 1) {
      if (new Set(values.map((value) => write(value, quantity, true, extra))).size === values.length) return extra;
    }
    return 6;
  }

  return { write, extraDigits };
})();
