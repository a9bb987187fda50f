// The monitor's events: which runs have changed, and news of alerts. Reconnects by itself.

const SILENT_MS = 30_000; // The monitor says something every 10 s.
const AWAY_MS = 20_000;
const AGAIN_MS = [500, 1000, 2000, 5000];

/** Calls `on.changed(change)`, `on.connected()` and `on.lost()`; returns nothing to stop it: it lasts as long as the page. */
export function listen(on) {
  let source = null;
  let watchdog = 0;
  let tries = 0;
  let away = 0;

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(again, SILENT_MS);
  }

  function again() {
    source?.close();
    source = null;
    clearTimeout(watchdog);
    on.lost();
    setTimeout(() => source ?? connect(), AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]);
  }

  function connect() {
    source = new EventSource("api/v1/events");
    source.addEventListener("hello", (event) => {
      tries = 0;
      heard();
      on.connected(JSON.parse(event.data));
    });
    source.addEventListener("alive", heard);
    source.addEventListener("changed", (event) => {
      heard();
      on.changed(JSON.parse(event.data));
    });
    source.addEventListener("error", again);
  }

  // A browser has six connections to one address for all its tabs: those that nobody sees let go.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (!document.hidden) {
      if (source === null) connect();
      return;
    }
    away = setTimeout(() => {
      source?.close();
      source = null;
      clearTimeout(watchdog);
    }, AWAY_MS);
  });

  connect();
}
