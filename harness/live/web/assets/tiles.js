"use strict";
// The few figures that matter: what runs, how far it is, and how it does now or did in the end.
const tiles = (() => {
  const { element, say, counted, known } = words;
  const by = (id) => document.getElementById(id);
  const NAMES = ["Throughput", "Median response", "99th percentile", "Failed", "Agents", "CPU", "Elapsed"];
  let made = null;

  function begin() {
    made = NAMES.map((name) => {
      const tile = { figure: element("dd", { textContent: "–" }), remark: element("dd", { className: "remark" }) };
      tile.box = element("div", {}, element("dt", { textContent: name }), tile.figure, tile.remark);
      return tile;
    });
    by("tiles").replaceChildren(...made.map((tile) => tile.box));
  }

  function set(name, value, quantity, remark, tone = "") {
    const tile = made[NAMES.indexOf(name)];
    say(tile.figure, quantities.write(value ?? null, quantity));
    say(tile.remark, remark);
    tile.box.className = tone;
  }

  // "2 timeout, 1 error", of a mapping from outcomes to counts without those that are no failure.
  function outcomes(counts) {
    const failed = Object.entries(counts ?? {}).filter(([name, count]) => !["ok", "not_found"].includes(name) && count > 0);
    return failed.map(([name, count]) => `${quantities.write(count, "count")} ${words.plain(name.replaceAll("_", " "), 40)}`).join(", ");
  }

  const short = (number) => quantities.write(number, "count", true);
  const of = (done, total) => (known(total) ? `${short(done)} of ${short(total)}` : short(done));
  const noneOf = (operations) => (operations ? `none of ${counted(operations, "operation")}` : "no operation yet");
  // Failures by outcome, and how many batches were sent again, which is no failure yet.
  function how(now, failures, operations) {
    const again = now.retries ? `${short(now.retries)} ${now.retries === 1 ? "batch" : "batches"} sent again` : "";
    return [failures ? outcomes(now.failures_by_outcome) : noneOf(operations), again].filter(Boolean).join("; ");
  }
  const span = (seconds) => quantities.write(seconds, "span");

  function showNow(now) {
    set("Throughput", now.ops_per_s, "rate", `${of(now.operations_done, now.operations_total)} operations`);
    set("Median response", now.p50_ms, "milliseconds", "last 3 seconds");
    set("99th percentile", now.p99_ms, "milliseconds", "last 3 seconds");
    set("Failed", now.failures, "count", how(now, now.failures, now.operations_done), now.failures ? "failed" : "");
    set("Agents", Math.max(0, (now.agents_started ?? 0) - (now.agents_done ?? 0)), "count", `at work, ${of(now.agents_done, now.agents_total)} done`);
    set("CPU", now.node_cpu_percent, "percent", "of all cores");
    set("Elapsed", now.elapsed_s, "span", known(now.eta_s) ? `about ${span(now.eta_s)} left` : "");
  }

  function showPhase(now, step) {
    const place = step?.number ? `step ${short(step.number)}${step.planned ? ` of ${short(step.planned)}` : ""}, ` : "";
    say(by("phase"), `${place}${words.plain(now.phase || "starting", 60)}`);
    const bar = by("progress");
    const share = portion(now, step);
    bar.hidden = share === null;
    if (share !== null) bar.value = share;
    say(by("done"), share === null ? "" : quantities.write(Math.floor(share * 100), "percent", true));
  }

  // How much of it is done, from 0 to 1: of a benchmark, of its steps; null where nobody knows.
  function portion(now, step) {
    const ofRun = portionOfRun(now);
    return step?.planned ? Math.min(1, (step.number - 1 + (ofRun ?? 0)) / step.planned) : ofRun;
  }
  function portionOfRun(now) {
    const within = (done, total) => Math.min(1, Math.max(0, done / total));
    if (now.operations_total) return within(now.operations_done, now.operations_total);
    if (known(now.eta_s) && now.elapsed_s > 0) return within(now.elapsed_s, now.elapsed_s + now.eta_s);
    return now.agents_total > 1 ? within(now.agents_done, now.agents_total) : null;
  }

  // The figures of the summary, which are those that the report, and everything else, has.
  function showEnd(status, summary, last) {
    const measured = status === "invalid" ? "withheld: the run is INVALID" : "whole run";
    if ("throughput_ops_s" in summary) set("Throughput", summary.throughput_ops_s, "rate", `${quantities.write(summary.operations, "count")} operations`);
    if ("all.p50_ms" in summary) set("Median response", summary["all.p50_ms"], "milliseconds", measured);
    if ("all.p99_ms" in summary) set("99th percentile", summary["all.p99_ms"], "milliseconds", measured);
    if ("failed" in summary) set("Failed", summary.failed, "count", how(last, summary.failed, summary.operations), summary.failed ? "failed" : "");
    set("Elapsed", last.elapsed_s, "span", "");
    say(by("phase"), words.plain(status, 60));
    say(by("done"), "");
    by("progress").hidden = true;
  }

  return { begin, showNow, showPhase, showEnd };
})();
