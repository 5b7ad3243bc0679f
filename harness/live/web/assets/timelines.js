"use strict";
// What each chart shows of the points, as the specification that charts.draw takes.
const timelines = (() => {
  const LINES_MAX = 12;
  const SEQUENCE = ["blue", "orange", "teal", "pink", "olive", "sky", "red", "slate"];
  const FAILURES = { bad_input: "olive", overloaded: "orange", unavailable: "pink", timeout: "sky", error: "red" };
  const PERCENTILES = [["p50", "service"], ["p90", "transport"], ["p99", "queue"]];
  const OPERATIONS = Object.keys(meanings.operations);

  const some = (values) => values !== null && values.some((value) => value !== null);

  // Names in the order of those that are known, whatever order they came in.
  function ordered(names, known) {
    const order = Object.keys(known);
    const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
    return names.sort((one, other) => place(one) - place(other) || (one < other ? -1 : 1));
  }

  // A line of a column, or none where the column is not there or has no value.
  function line(store, name, label, colour, style = "line") {
    const values = store.read(name);
    return some(values) ? [{ label: words.plain(label, 60), style, colour, values, low: null, high: null }] : [];
  }

  // The sum of columns at each point, null where none of them is known.
  function sum(store, names, label, colour) {
    const columns = names.map((name) => store.read(name)).filter(some);
    if (!columns.length) return [];
    const values = columns[0].map((_value, place) => columns.reduce(
      (total, column) => (column[place] === null ? total : (total ?? 0) + column[place]), null));
    return [{ label: words.plain(label, 60), style: "line", colour, values, low: null, high: null }];
  }

  // The rate is the current step's, and says nothing of those before.
  function throughput(store, { plan, step }) {
    const lines = line(store, "ops_per_s", "all", "all");
    if (lines.length && words.known(plan.rate)) {
      const values = store.read("t").map((at_s) => (at_s > (step?.began_s ?? -Infinity) ? plan.rate : null));
      lines.push({ label: "offered", style: "dashed", colour: "quiet", values, low: null, high: null });
    }
    return { lines };
  }

  function response(store, { operation }) {
    return {
      lines: PERCENTILES.flatMap(([name, colour]) => line(store, `${name}_ms.${operation}`, name, colour)),
      caption: `Percentiles of ${operation} operations in each interval.`,
      none: `Too few ${operation === "all" ? "" : `${operation} `}operations have ended yet: a percentile takes 20 in one interval.`,
    };
  }

  function parts(store, { operation }) {
    const ofAll = operation === "all" ? "an operation" : `a ${operation} operation`;
    return {
      lines: meanings.parts.flatMap(({ series, label, colour }) => line(store, `${series}.${operation}`, label, colour)),
      caption: `Mean of each part of ${ofAll}, one on the other.`,
      stacked: true,
    };
  }

  function agents(store) {
    return { lines: [...line(store, "agents_at_work", "at work", "blue"), ...line(store, "agents_done", "done", "teal")] };
  }

  function failures(store) {
    const total = line(store, "failures_per_s", "failed", "red");
    const named = ordered(store.below("failures_per_s."), FAILURES).flatMap((outcome) => line(store, `failures_per_s.${outcome}`, outcome.replaceAll("_", " "), FAILURES[outcome] ?? "slate"));
    // An outcome that did not occur in an interval occurred no time in it.
    for (const one of named) one.values = one.values.map((value, place) => (value === null && total[0]?.values[place] !== null ? 0 : value));
    const lines = (named.length ? named : total).filter((one) => one.values.some((value) => value > 0));
    return { lines, none: store.length ? "No operation has failed." : "No operation has ended yet." };
  }

  // By role, of all nodes or of one; or by node, of all that runs there or of one role.
  function used(store, prefix, whole, { split, one, nodes }) {
    if (split === "role") {
      const names = ordered(store.below(`${prefix}.role.`), meanings.roles);
      const from = (role) => (one ? `${prefix}.role_node.${role}@${one}` : `${prefix}.role.${role}`);
      return names.flatMap((role, place) => line(store, from(role), role, meanings.roles[role] ?? SEQUENCE[place % SEQUENCE.length]));
    }
    const from = (node) => (one ? `${prefix}.role_node.${one}@${node}` : `${whole}.node.${node}`);
    return nodes.slice(0, LINES_MAX).flatMap(({ id, name }, place) => line(store, from(id), name, SEQUENCE[place % SEQUENCE.length]));
  }

  function ofWhat({ split, one, nodes }) {
    if (split === "role") return one ? ` on ${nodes.find((node) => node.id === one)?.name ?? one}` : "";
    const cut = nodes.length > LINES_MAX ? `; the first ${LINES_MAX} of ${nodes.length}` : "";
    return `${one ? `, ${one}` : ""}${cut}`;
  }

  function cpu(store, choice) {
    const machine = choice.split === "node" && !choice.one;
    return {
      lines: used(store, "cpu_percent", "cpu_percent", choice),
      caption: `In percent of ${machine ? "all cores of the node" : "one core"}${ofWhat(choice)}.`,
    };
  }

  function memory(store, choice) {
    const machine = choice.split === "node" && !choice.one;
    return {
      lines: used(store, "rss_bytes", "memory_used_bytes", choice),
      caption: `${machine ? "Used, of the whole node" : "Resident (RSS)"}${ofWhat(choice)}.`,
    };
  }

  // What goes in and out of machines has no role: by node each is a line, else it is added up.
  function moved(store, choice, [into, intoLabel], [out, outLabel]) {
    if (choice.split === "node") {
      const lines = choice.nodes.slice(0, LINES_MAX).flatMap(({ id, name }, place) =>
        sum(store, [`${into}.node.${id}`, `${out}.node.${id}`], name, SEQUENCE[place % SEQUENCE.length]));
      return { lines, caption: `Bytes ${intoLabel} and ${outLabel} together, by node${ofWhat({ ...choice, one: "" })}.` };
    }
    const shown = choice.one ? choice.nodes.filter((node) => node.id === choice.one) : choice.nodes;
    const of = (prefix) => shown.map(({ id }) => `${prefix}.node.${id}`);
    const where = choice.one ? `Of ${shown[0]?.name}` : shown.length > 1 ? `Of all ${shown.length} nodes` : "Of the whole machine";
    return { lines: [...sum(store, of(into), intoLabel, "blue"), ...sum(store, of(out), outLabel, "orange")], caption: `${where}, whoever caused it.` };
  }

  const disk = (store, choice) => moved(store, choice, ["disk_read_bytes_s", "read"], ["disk_write_bytes_s", "written"]);
  const network = (store, choice) => moved(store, choice, ["net_received_bytes_s", "received"], ["net_sent_bytes_s", "sent"]);

  const none = "No operation has ended yet.";
  const unsampled = "No sample of the machines has come yet.";
  const CHARTS = [
    { key: "throughput", place: "operations", title: "Throughput", caption: "Operations that ended, a second.", yQuantity: "rate", none, of: throughput },
    { key: "response", place: "operations", title: "Response time", caption: "", yQuantity: "milliseconds", yLog: true, none, of: response },
    { key: "parts", place: "operations", title: "Where the time goes", caption: "", yQuantity: "milliseconds", none, of: parts },
    { key: "failures", place: "operations", title: "Failures", caption: "Operations that failed, a second, by outcome.", yQuantity: "rate", none, of: failures },
    { key: "agents", place: "operations", title: "Agents", caption: "Those at work, and those that are done.", yQuantity: "count", none: "No agent has begun yet.", of: agents },
    { key: "cpu", place: "resources", title: "CPU", caption: "", yQuantity: "percent", none: unsampled, of: cpu },
    { key: "memory", place: "resources", title: "Memory", caption: "", yQuantity: "bytes", none: unsampled, of: memory },
    { key: "disk", place: "resources", title: "Disk", caption: "", yQuantity: "bytes_s", none: unsampled, of: disk },
    { key: "network", place: "resources", title: "Network", caption: "", yQuantity: "bytes_s", none: unsampled, of: network },
  ];

  return { CHARTS, OPERATIONS };
})();
