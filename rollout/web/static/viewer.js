"use strict";
// What the viewer's pages do beside what page.js does for a session: keys in lists, and a session that grows.
(() => {
  // Lists: j and k go from one to the next, / to the search.

  const links = () => [...document.querySelectorAll(".about, .found li > a")];
  const seek = document.querySelector("input[type=search]");

  function step(by) {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
    next?.focus();
  }

  if (!document.body.matches(".reading")) {
    const acts = { j: () => step(1), k: () => step(-1), "/": () => { seek?.focus(); seek?.select(); } };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      const act = acts[event.key];
      if (act) { event.preventDefault(); act(); }
    });
  }

  // A session that grows. A browser has six connections to one address: a page that nobody sees gives its own back.

  const address = document.body.dataset.events;
  const live = document.getElementById("live");
  if (!address) return;
  let source = null;
  let after = new URL(address, location.href).searchParams.get("after");

  function open() {
    const url = new URL(address, location.href);
    url.searchParams.set("after", after);
    source = new EventSource(url);
    source.onmessage = (event) => {
      after = event.lastEventId || after;
      rollout.update(JSON.parse(event.data));
    };
    source.addEventListener("state", (event) => say(JSON.parse(event.data).isHeld ? "live" : "no writer"));
    source.onerror = () => source.readyState === EventSource.CLOSED ? end(url) : say("not connected");
  }

  // An event source does not tell why it ended: either too many are open, or there is nothing to follow.
  async function end(url) {
    const answer = await fetch(url, { method: "HEAD" }).catch(() => null);
    if (answer?.status !== 503) {
      say("ended");
      return;
    }
    say("too many pages follow");
    setTimeout(() => source && open(), 1000 * answer.headers.get("Retry-After"));
  }

  function say(text) {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("quiet", text !== "live");
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      open();
    }
  });
  if (!document.hidden) open();
})();
