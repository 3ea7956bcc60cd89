"use strict";
// The viewer's additions to page.js: keyboard navigation in lists, and live updates of a session.
(() => {
  // Lists: j and k move to the next and the previous link, / to the search.

  const links = () => [...document.querySelectorAll(".about, .session-hits li > a")];
  const search = document.querySelector("input[type=search]");

  function moveFocus(step) {
    const all = links();
    const index = all.indexOf(document.activeElement);
    const next = all[index < 0 ? 0 : Math.min(Math.max(index + step, 0), all.length - 1)];
    next?.focus();
  }

  if (!document.body.matches(".reading")) {
    const actions = { j: () => moveFocus(1), k: () => moveFocus(-1), "/": () => { search?.focus(); search?.select(); } };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
    });
  }

  // Live updates. A browser opens at most six connections to one address: a hidden page closes its connection.

  const eventsUrl = document.body.dataset.events;
  const live = document.getElementById("live");
  if (!eventsUrl) return;
  let source = null;
  let after = new URL(eventsUrl, location.href).searchParams.get("after");

  function open() {
    const url = new URL(eventsUrl, location.href);
    url.searchParams.set("after", after);
    source = new EventSource(url);
    source.onmessage = (event) => {
      after = event.lastEventId || after;
      rollout.update(JSON.parse(event.data));
    };
    source.addEventListener("state", (event) => showState(JSON.parse(event.data).isHeld ? "live" : "no writer"));
    source.onerror = () => source.readyState === EventSource.CLOSED ? handleEnd(url) : showState("not connected");
  }

  // An event source does not report why it ended: too many streams are open, or the session cannot be followed.
  async function handleEnd(url) {
    const answer = await fetch(url, { method: "HEAD" }).catch(() => null);
    if (answer?.status !== 503) {
      showState("ended");
      return;
    }
    showState("too many live pages");
    setTimeout(() => source && open(), 1000 * answer.headers.get("Retry-After"));
  }

  function showState(text) {
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
