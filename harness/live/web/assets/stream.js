"use strict";
// The stream of events: opened, found again when it is lost, and what is said of it.
const stream = (() => {
  const KINDS = ["state", "now", "point", "mark", "step", "nodes", "summary", "end"];
  const AGAIN_MS = 2000;
  // A connection over which nothing came for so long is opened anew: its other end may be gone
  // without having said so.
  const SILENCE_MS = 30000;

  function open(handlers, says) {
    let source = null;
    let heard = performance.now();
    let ended = false;

    function connect() {
      source?.close();
      heard = performance.now();
      source = new EventSource("events");
      for (const kind of KINDS) {
        source.addEventListener(kind, (event) => {
          heard = performance.now();
          // It stays open until the page is left: as long as it is, the server keeps the report.
          if (kind === "end") ended = true;
          handlers[kind](JSON.parse(event.data));
        });
      }
      source.addEventListener("open", () => {
        heard = performance.now();
        says("live");
      });
      source.addEventListener("error", () => {
        if (ended) {
          source.close();
          return;
        }
        says("lost");
        // A refused connection is tried again by the browser, an answer that is no stream is not.
        if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
      });
    }

    connect();
    setInterval(() => {
      if (!ended && source.readyState === EventSource.OPEN && performance.now() - heard > SILENCE_MS) connect();
    }, SILENCE_MS / 4);
  }

  return { open };
})();
