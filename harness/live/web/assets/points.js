"use strict";
// The points of a run in columns, of a size that does not grow with the run.
// A column is an array of POINTS_MAX numbers made once; NaN is what is not known.
const points = (() => {
  const POINTS_MAX = 1200;
  const SERIES_MAX = 2000;

  function make() {
    let columns = new Map();
    let length = 0;
    let leftOut = 0;

    function column(name) {
      if (columns.has(name)) return columns.get(name);
      if (columns.size >= SERIES_MAX) {
        leftOut += 1;
        return null;
      }
      const made = new Float64Array(POINTS_MAX).fill(NaN);
      columns.set(name, made);
      return made;
    }

    function put(name, place, value) {
      if (typeof value === "number") column(name)?.fill(value, place, place + 1);
    }

    // Begins anew from columns as `state` has them; the newest points if there are too many.
    function replace(given) {
      columns = new Map();
      leftOut = 0;
      const all = Object.entries(given ?? {}).filter(([, values]) => Array.isArray(values));
      const had = Math.max(0, ...all.map(([, values]) => values.length));
      const first = Math.max(0, had - POINTS_MAX);
      length = had - first;
      for (const [name, values] of all) {
        for (let place = first; place < values.length; place += 1) put(name, place - first, values[place]);
      }
    }

    // One more point; the oldest goes when there is no room, which a server that thins leaves.
    function append(point) {
      if (length === POINTS_MAX) {
        for (const values of columns.values()) values.copyWithin(0, 1).fill(NaN, POINTS_MAX - 1);
        length -= 1;
      }
      for (const [name, value] of Object.entries(point)) put(name, length, value);
      length += 1;
    }

    // A column for drawing, null where nothing is known; null for one that is not there.
    function read(name) {
      const values = columns.get(name);
      return values ? Array.from(values.subarray(0, length), (value) => (Number.isNaN(value) ? null : value)) : null;
    }

    // What comes behind a prefix in the names of columns, in the order in which they came.
    function below(prefix) {
      return [...columns.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    }

    return { replace, append, read, below, get length() { return length; }, get leftOut() { return leftOut; } };
  }

  return { make, POINTS_MAX };
})();
