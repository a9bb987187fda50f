// Which page is shown, and that it is kept up to date.

import { follow, here } from "./address.js";
import { el } from "./dom.js";
import { listen } from "./live.js";
import { overview } from "./overview.js";
import { title } from "./words.js";

const main = document.getElementById("main");
const status = document.getElementById("status");
const news = document.getElementById("news");
const NEWS_KEPT = 20;

let shown = null; // {name, page}
let refreshing = false;
let wanted = false;

const NAME = "Training Health Monitor";

function say(text, state) {
  if (status.textContent !== text) status.textContent = text;
  status.dataset.state = state;
}

async function open() {
  const { run } = here();
  const name = run === undefined ? "" : `run ${run}`;
  if (shown?.name !== name) {
    const before = shown;
    shown?.page.close();
    const build = run === undefined ? overview : (await import("./run.js")).runPage;
    shown = { name, page: build(main, run) };
    if (before) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
  }
  await refresh();
}

/** One refresh at a time; what is asked for meanwhile is one more. */
async function refresh() {
  if (refreshing || !shown) {
    wanted = true;
    return;
  }
  refreshing = true;
  do {
    wanted = false;
    const { page } = shown;
    try {
      await page.refresh();
      document.title = `${page.title()} · ${NAME}`;
    } catch (error) {
      if (error.name !== "AbortError") page.failed?.(error);
    }
  } while (wanted);
  refreshing = false;
}

function tell(change) {
  for (const { run, alert, severity, summary, resolved } of change.news.slice(-5)) {
    const text = resolved ? `Resolved: ${alert}, ${title(run)}` : `${severity}: ${alert}. ${summary}`;
    news.append(el("p", {}, text));
  }
  while (news.children.length > NEWS_KEPT) news.firstChild.remove();
}

addEventListener("moved", (event) => void (event.detail.quietly ? refresh() : open()));
addEventListener("popstate", () => void open());
document.addEventListener("click", follow);
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && shown?.page.find) {
    event.preventDefault();
    shown.page.find();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.page.recolour?.());

void open();
listen({
  connected: ({ monitor }) => {
    say("Live", "live");
    document.getElementById("version").textContent = `Version ${monitor}`;
    void refresh(); // what was missed until now, or while the connection was lost
  },
  lost: () => say("The monitor is gone. Trying to reach it …", "lost"),
  changed: (change) => {
    tell(change);
    if (shown?.page.concerns(change)) void refresh();
  },
});
