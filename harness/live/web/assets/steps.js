"use strict";
// The steps of a benchmark: those that are done with their figures, the one that runs, those to come.
const steps = (() => {
  const ROWS_MAX = 200;
  const { element, figure, known, plain } = words;
  const row = (name, status, figures, now) => element("tr", { className: now ? "current" : "" },
    element("th", { scope: "row", textContent: plain(name, 80) }),
    element("td", { textContent: plain(status, 40) }),
    ...[["throughput_ops_s", "rate"], ["p50_ms", "milliseconds"], ["p99_ms", "milliseconds"]].map(
      ([key, quantity]) => element("td", { className: "n" }, figure(figures[key] ?? null, quantity))));

  function show(step, now) {
    const section = document.getElementById("steps");
    section.hidden = !step?.name;
    if (!step?.name) return;
    const done = Array.isArray(step.steps_done) ? step.steps_done : [];
    const current = { throughput_ops_s: now.ops_per_s, p50_ms: now.p50_ms, p99_ms: now.p99_ms };
    const rows = done.slice(-ROWS_MAX).map((one) => row(one.name, one.status ?? "complete", one, false));
    if (step.running) rows.push(row(step.name, "running", current, true));
    document.getElementById("steps-rows").replaceChildren(...rows);
    const left_s = now.bench_eta_s ?? step.eta_s;
    const sentences = [
      step.planned ? `${step.done} of ${step.planned} done` : `${step.done} done`,
      ...(step.left ? [`${step.left} to come`] : []),
      ...(known(left_s) ? [`about ${quantities.write(left_s, "span")} left`] : []),
    ];
    words.say(document.getElementById("steps-lead"), `${sentences.join(", ")}.`);
  }

  return { show };
})();
