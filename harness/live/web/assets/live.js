"use strict";
// The page: takes what the stream says, and draws it a few times a second while somebody looks.
(() => {
  const DRAWN_EVERY_MS = 250;
  const END_SHOWN_MS = 700;
  const by = (id) => document.getElementById(id);
  const { say, plain } = words;

  const store = points.make();
  const made = timelines.CHARTS.map(cards.make);
  let now = {};
  let step = null;
  let plan = {};
  let nodes = [];
  let summed = null;
  const due = { charts: true, afresh: false };
  let timer = 0;
  let drawnAt = -Infinity;
  let connected = "connecting";

  function soon() {
    if (timer || document.hidden) return;
    timer = setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawnAt + DRAWN_EVERY_MS - performance.now()));
  }
  function soonCharts() {
    due.charts = true;
    soon();
  }

  function draw() {
    timer = 0;
    drawnAt = performance.now();
    tiles.showNow(now);
    tiles.showPhase(now, step);
    if (summed) tiles.showEnd(summed.status, summed.summary ?? {}, now);
    steps.show(step, now);
    moments.list();
    if (due.charts) drawCharts();
  }

  function drawCharts() {
    choices.offer(store, nodes);
    const choice = { ...choices.chosen, plan, step, nodes };
    const common = {
      x: store.read("t") ?? [],
      marks: moments.drawn(),
      span: Number(choices.chosen.span) || null,
      height: innerWidth >= 2200 ? 280 : 200,
    };
    const drawn = made.map((card) => cards.show(card, store, choice, common, due.afresh));
    Object.assign(due, { charts: false, afresh: false });
    if (drawn.some(Boolean) && !performance.getEntriesByName("first-chart").length) performance.mark("first-chart");
  }

  // What is read out by a screen reader: what happens, not every figure.
  const announce = (text) => say(by("status"), text);

  function connection(state) {
    by("connection").dataset.state = state;
    say(by("connection"), { live: "live", lost: "connection lost", ended: "ended" }[state]);
    if (state === "lost") notice("The connection to the run is lost. What was seen so far stays; the page goes on by itself when the run answers again.");
    else if (connected === "lost") {
      notice("");
      announce("The connection is back.");
    }
    connected = state;
  }
  function notice(text) {
    say(by("notice"), text);
    by("notice").hidden = !text;
    if (text) announce(text);
  }

  function head(state) {
    const command = plain(String(state.command ?? "run").replace("bench-", "bench "), 60);
    say(by("command"), `${command}, live`);
    const agents = words.counted(state.agents ?? 0, "agent");
    say(by("title"), plan.target ? `${agents} on ${plain(plan.target, 60)}` : agents);
    say(by("subtitle"), plain(state.plan_words || state.path, 300));
    document.title = `${command}, live · agent-memory-harness`;
    const facts = Object.entries(plan).filter(([, value]) => value !== null);
    by("plan").hidden = facts.length === 0;
    by("plan-facts").replaceChildren(...facts.map(([name, value]) => words.element("div", {},
      words.element("dt", { textContent: plain(name, 60) }), words.element("dd", { textContent: words.readable(value) }))));
  }

  // Nodes by their names, with their ids where names are not enough to tell them apart.
  function named(given) {
    const all = Object.entries(given ?? {}).map(([id, name]) => ({ id, name: plain(name || id.slice(0, 12), 60) }));
    return all.map((one) => (all.filter((other) => other.name === one.name).length > 1 ? { id: one.id, name: `${one.name} (${plain(one.id.slice(0, 6))})` } : one));
  }

  function takeNow(given) {
    if (given?.phase && given.phase !== now.phase) announce(`Phase: ${plain(given.phase, 60)}`);
    now = given ?? now;
  }

  const handlers = {
    state(state) {
      store.replace(state.points);
      moments.replace(state.marks);
      plan = state.plan ?? {};
      step = state.step ?? null;
      nodes = named(state.nodes);
      summed = state.summary ? state : null;
      takeNow(state.now);
      head(state);
      soonCharts();
    },
    now(given) {
      takeNow(given);
      soon();
    },
    point({ now: given, ...values }) {
      store.append(values);
      takeNow(given);
      soonCharts();
    },
    mark(mark) {
      const { kind, text } = moments.append(mark);
      if (kind !== "phase") announce(`${kind}: ${text}`);
      soonCharts();
    },
    step(given) {
      if (given?.name !== step?.name) announce(`Step ${plain(given?.name, 60)}`);
      step = given;
      soon();
    },
    nodes(given) {
      nodes = named(given);
      soonCharts();
    },
    summary(given) {
      summed = given;
      announce("The run has been summed up; its report is being made.");
      soon();
    },
    end(given) {
      summed = given;
      connection("ended");
      announce(`The run has ended: ${plain(given.status, 40)}.`);
      soon();
      if (given.report) setTimeout(() => location.replace("report"), document.hidden ? 0 : END_SHOWN_MS);
      else notice(`The run has ended (${plain(given.status, 40)}), and there is no report of it. ${plain(given.problem ?? "")}`);
    },
  };

  document.addEventListener("visibilitychange", soon);
  tiles.begin();
  choices.begin(soonCharts);
  theme.begin(() => {
    due.afresh = true;
    soonCharts();
  });
  stream.open(handlers, connection);
})();
