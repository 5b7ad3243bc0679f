"use strict";
// What a chart's canvas has besides lines: phases, events, and the intervals of points.
const marks = (() => {
  // Phases and events behind the lines: a warm-up is shaded, a phase begins at a quiet line.
  function drawMoments(u, spec) {
    const { ctx, bbox } = u;
    const at = (x) => Math.min(Math.max(u.valToPos(x, "x", true), bbox.left), bbox.left + bbox.width);
    const ratio = devicePixelRatio || 1;
    const right = bbox.left + bbox.width;
    const labels = [];
    ctx.save();
    ctx.font = `${11 * ratio}px ui-sans-serif, system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left"; // axes that were drawn before leave it otherwise
    for (const mark of spec.marks) {
      const end = mark.end === null ? mark.begin : mark.end;
      if (end < u.scales.x.min || mark.begin > u.scales.x.max) continue;
      const left = at(mark.begin);
      if (mark.kind === "warm-up") {
        ctx.fillStyle = `${plot.colourOf("c-olive")}24`;
        ctx.fillRect(left, bbox.top, at(end) - left, bbox.height);
      }
      ctx.strokeStyle = plot.colourOf(mark.kind === "event" ? "c-pink" : "faint");
      ctx.lineWidth = ratio;
      ctx.setLineDash(mark.kind === "event" ? [] : [2 * ratio, 4 * ratio]);
      if (mark.begin >= u.scales.x.min) {
        ctx.beginPath();
        ctx.moveTo(left, bbox.top);
        ctx.lineTo(left, bbox.top + bbox.height);
        ctx.stroke();
      }
      // What began before the picture has a label if there is room for it until it ends.
      const room = mark.begin >= u.scales.x.min ? right - left : at(end) - left;
      labels.push({ words: mark.label, left, room, isEvent: mark.kind === "event" });
    }
    ctx.fillStyle = plot.colourOf("quiet");
    const gap = 4 * ratio;
    const taken = [];
    // Events are more to the point than phases, and may have their label on either side.
    for (const { words, left, room, isEvent } of labels.sort((one, other) => other.isEvent - one.isEvent)) {
      const width = ctx.measureText(words).width;
      const places = [...(width + 2 * gap < room ? [left + gap] : []), ...(isEvent ? [left - gap - width] : [])];
      const place = places.find((from) => from >= bbox.left && taken.every(([begin, end]) => from >= end + gap || from + width + gap <= begin));
      if (place === undefined) continue;
      ctx.fillText(words, place, bbox.top + 3 * ratio);
      taken.push([place, place + width]);
    }
    ctx.restore();
  }

  // Intervals of points, which have no line to lie about.
  function drawIntervals(u, spec, shown) {
    const ratio = devicePixelRatio || 1;
    u.ctx.save();
    u.ctx.lineWidth = 1.5 * ratio;
    spec.series.forEach((one, place) => {
      if (!one.low || one.style !== "points" || !shown[place]) return;
      u.ctx.strokeStyle = plot.seriesColour(one);
      one.low.forEach((low, i) => {
        if (low === null || one.high[i] === null || (spec.yLog && low <= 0)) return;
        const x = u.valToPos(spec.x[i], "x", true);
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.valToPos(low, "y", true));
        u.ctx.lineTo(x, u.valToPos(one.high[i], "y", true));
        u.ctx.stroke();
      });
    });
    u.ctx.restore();
  }

  return { drawMoments, drawIntervals };
})();
