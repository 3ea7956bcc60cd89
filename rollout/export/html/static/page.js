"use strict";
// The script of a session's page: folding, search, copying, full texts and raw lines. The page can be read without it.
const rollout = (() => {
  const root = document.documentElement;
  const main = document.getElementById("session");
  const side = document.getElementById("contents");
  const phone = matchMedia("(max-width: 62rem)");
  const url = document.body.dataset.sessionUrl;
  const UNSAFE = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g;
  const ANSI = /\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[ -/][0-~]|[0-?@-OQ-WYZ\\^_])/g;
  const SHOWN_MAX = 1_000_000; // characters that one click shows
  const DRESSED_MAX = 2000; // items; on a page with more items, an item gets its buttons when it is touched or focused
  const FOUND_MAX = 5000;
  root.classList.add("js");

  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const visible = (text) => text.replace(/\r\n/g, "\n").replace(UNSAFE, (c) => {
    const code = c.codePointAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;

  function make(tag, fields = {}, ...children) {
    const element = Object.assign(document.createElement(tag), fields);
    element.append(...children);
    return element;
  }

  // Data that the page contains but does not show.

  const unpacked = new Map();

  function numberOf(key) {
    return /^\d+$/.test(key) ? Number(key) : NaN;
  }

  function blockOf(kind, key) {
    const number = numberOf(key);
    return all(`script[data-store="${kind}"]`).find((block) => block.dataset.keys.split(" ").some((range) => {
      const [first, last = first] = range.split("..");
      return range === key || (numberOf(first) <= number && number <= numberOf(last));
    }));
  }

  async function entriesOf(block) {
    if (!unpacked.has(block)) {
      if (unpacked.size > 8) unpacked.clear();
      const bytes = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const lines = (await new Response(stream).text()).split("\n");
      unpacked.set(block, new Map(lines.map((line) => {
        const tab = line.indexOf("\t");
        return [line.slice(0, tab), line.slice(tab + 1)];
      })));
    }
    return unpacked.get(block);
  }

  async function stored(kind, key) {
    if (url) {
      const response = await fetch(`${url}/${kind === "raw" ? "raw" : "output"}/${encodeURIComponent(key)}`);
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      return response.text();
    }
    const block = blockOf(kind, key);
    if (!block) throw new Error("this file does not contain it");
    const text = (await entriesOf(block)).get(key);
    if (kind === "raw") return text;
    const value = JSON.parse(text);
    if (typeof value === "string") return value;
    // The text is a part of a line, and is not stored separately.
    let part = JSON.parse(await stored("raw", value.line));
    for (const step of value.path) part = step === null ? JSON.parse(part) : part[step];
    return part.slice(value.start);
  }

  const raw = (key) => stored("raw", key);
  const output = (key) => stored("whole", key);

  // Copying, raw lines, full texts.

  async function copy(text, button) {
    const label = button.dataset.label ||= button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const area = make("textarea", { value: text, readOnly: true });
      (button.closest("dialog") || document.body).append(area);
      area.select();
      button.textContent = document.execCommand("copy") ? "Copied" : "Not copied";
      area.remove();
      button.focus({ preventScroll: true });
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  function wordsOf(item) {
    const parts = all(".text, pre", item).filter((part) => !part.parentElement.closest(".text, .raw-panel"));
    // Without the labels of the buttons in the item.
    item.classList.add("copying");
    const words = parts.map((part) => part.innerText).join("\n\n");
    item.classList.remove("copying");
    return words;
  }

  function wholeOf(pre) {
    const more = pre.closest(".input, .output, .diff, .fold, .body")?.querySelector(":scope > .cut [data-more], :scope .cut [data-more]");
    return more ? output(more.dataset.more).then((text) => text.replace(ANSI, "")) : Promise.resolve(pre.textContent);
  }

  function dress(item) {
    if (item.dataset.dressed) return;
    item.dataset.dressed = "1";
    const tools = make("span", { className: "tools" });
    if (!item.matches(".call")) tools.append(make("button", { type: "button", className: "copy-item", textContent: "Copy" }));
    const button = make("button", { type: "button", className: "raw", textContent: "Raw", title: "Raw JSON of this line" });
    button.setAttribute("aria-label", `Raw JSON of line ${item.dataset.lines.split(" ").join(", ")}`);
    button.setAttribute("aria-expanded", "false");
    tools.append(button);
    const at = item.querySelector(".at");
    at.title = `Link to line ${item.id.slice(1)}`;
    at.after(tools);
    for (const pre of all("pre", item)) {
      if (pre.previousElementSibling?.matches(".cut") || pre.parentElement.matches(".copyable")) continue;
      const wrap = make("div", { className: "copyable" });
      pre.replaceWith(wrap);
      wrap.append(make("button", { type: "button", className: "copy", textContent: "Copy" }), pre);
    }
  }

  function rawPanel(keys) {
    const panel = make("div", { className: "raw-panel" });
    panel.setAttribute("role", "group");
    panel.setAttribute("aria-label", "Raw JSON");
    for (const key of keys) {
      const pre = make("pre", { textContent: "…" });
      const button = make("button", { type: "button", textContent: "Copy" });
      panel.append(make("p", {}, `Line ${key}`, button), pre);
      raw(key).then((text) => {
        let shown = text;
        try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* Shown unchanged. */ }
        const rest = shown.length - SHOWN_MAX;
        pre.textContent = visible(shown.slice(0, SHOWN_MAX)) + (rest > 0 ? `\n… ${plural(rest, "character")} more; use Copy to get them` : "");
        button.onclick = () => copy(text, button);
      }, (error) => { pre.textContent = `Line ${key} cannot be shown: ${error.message}.`; button.remove(); });
    }
    return panel;
  }

  function toggleRaw(button) {
    const item = button.closest(".item, .others");
    const shown = item.querySelector(":scope > .raw-panel");
    const keys = button.dataset.key ? [button.dataset.key] : item.dataset.lines.split(" ");
    const isSame = shown && shown.dataset.keys === keys.join(" ");
    shown?.remove();
    all("[aria-expanded=true]", item).forEach((other) => other.setAttribute("aria-expanded", "false"));
    if (isSame) return;
    const panel = rawPanel(keys);
    panel.dataset.keys = keys.join(" ");
    const body = item.querySelector(":scope > .body");
    if (body) body.before(panel); else item.append(panel);
    button.setAttribute("aria-expanded", "true");
  }

  async function showMore(button) {
    const note = button.closest(".cut");
    const key = button.dataset.more;
    button.disabled = true;
    try {
      const text = visible((await output(key)).replace(ANSI, "").replace(/\r\n?/g, "\n"));
      const before = note.previousElementSibling;
      const pre = before.matches("pre") ? before : before.querySelector("pre");
      const start = Number(button.dataset.from || 0);
      const part = text.slice(start, start + SHOWN_MAX);
      if (start) pre.append(part); else pre.textContent = part;
      const rest = text.length - start - part.length;
      if (rest > 0) {
        note.replaceChildren(`${plural(rest, "character")} more. `, button);
        button.dataset.from = start + part.length;
        button.textContent = "Show more";
        button.disabled = false;
      } else {
        if (note.nextElementSibling?.matches("pre")) note.nextElementSibling.remove();
        note.remove();
        pre.tabIndex = -1;
        pre.focus({ preventScroll: true });
      }
      sought = null;
    } catch (error) {
      note.append(` It cannot be shown: ${error.message}.`);
    }
  }

  function listLines(details) {
    for (const cell of all("dd[data-keys]", details)) {
      cell.replaceChildren(...cell.dataset.keys.split(" ").map((key) => {
        const button = make("button", { type: "button", className: "raw", textContent: key });
        button.dataset.key = key;
        button.setAttribute("aria-label", `Raw JSON of line ${key}`);
        button.setAttribute("aria-expanded", "false");
        return button;
      }));
      cell.removeAttribute("data-keys");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".raw")) toggleRaw(button);
    else if (button.matches(".copy-item")) copy(wordsOf(button.closest(".item")), button);
    else if (button.matches(".copy")) wholeOf(button.parentElement.querySelector("pre")).then((text) => copy(text, button));
    else if (button.matches("[data-more]")) showMore(button);
  });
  for (const kind of ["pointerover", "focusin", "touchstart"]) {
    document.addEventListener(kind, (event) => {
      const item = event.target.closest?.(".item");
      if (item) dress(item);
    }, { passive: true });
  }
  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.parentElement?.matches(".others")) listLines(event.target);
  }, true);

  // The position of the reader.

  function open(element) {
    for (let box = element.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  }

  function goTo(element) {
    open(element);
    element.scrollIntoView({ block: "start" });
    // The elements above get their real size only now.
    requestAnimationFrame(() => requestAnimationFrame(() => element.scrollIntoView({ block: "start" })));
  }

  function goToTarget() {
    const id = decodeURIComponent(location.hash.slice(1));
    const key = id.replace(/^L/, "");
    if (!/^[\w.-]+$/.test(id)) return;
    let target = document.getElementById(id) || document.querySelector(`[data-lines~="${key}"]`);
    if (!target) {
      target = document.querySelector(`[data-keys~="${key}"]`)?.closest("details");
      if (!target) return;
      target.open = true;
      listLines(target);
      const button = target.querySelector(`[data-key="${key}"]`);
      if (button.getAttribute("aria-expanded") === "false") toggleRaw(button);
    }
    if (target.matches(".item")) dress(target);
    if (target.matches(".item")) all(":scope > .body > details", target).forEach((box) => { box.open = true; });
    goTo(target);
    main.querySelector(".flash")?.classList.remove("flash");
    void target.offsetWidth;
    target.classList.add("flash");
  }
  addEventListener("hashchange", goToTarget);

  const turns = () => all(".turn", main);
  let current = null;

  function turnInView() {
    const list = turns();
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].getBoundingClientRect().top <= 120) low = middle + 1; else high = middle;
    }
    return [list, low - 1];
  }

  let isMarking = false;
  function mark() {
    if (isMarking) return;
    isMarking = true;
    requestAnimationFrame(() => {
      isMarking = false;
      const [list, index] = turnInView();
      if (!list.length || (current && list[index] === current)) return;
      current = list[Math.max(index, 0)];
      side?.querySelector("[aria-current]")?.removeAttribute("aria-current");
      const link = side?.querySelector(`a[href="#${current.id}"]`);
      link?.setAttribute("aria-current", "true");
      if (link && !phone.matches) link.scrollIntoView({ block: "nearest" });
    });
  }
  addEventListener("scroll", mark, { passive: true });

  function step(by) {
    const [list, index] = turnInView();
    const isInside = by < 0 && list[index]?.getBoundingClientRect().top < -10;
    // From the top of the page, go to the first turn with a prompt.
    const first = index < 0 && by > 0 && list.findIndex((turn) => turn.id !== "t0");
    const turn = list[first > 0 ? first : Math.min(Math.max(index + (isInside ? 0 : by), 0), list.length - 1)];
    if (!turn) return;
    goTo(turn);
    turn.querySelector("h2 a").focus({ preventScroll: true });
  }

  function foldAll(isOpen) {
    const top = turnInView();
    for (const box of all("details", main)) if (!box.parentElement.matches(".others")) box.open = isOpen;
    const turn = top[0][top[1]];
    if (turn && scrollY > 200) turn.scrollIntoView();
    mark();
  }

  // Search.

  const canHighlight = typeof Highlight === "function" && CSS.highlights;
  let sought = null, found = [], at = -1;

  function rangesIn(block, words) {
    const nodes = [], starts = [];
    let text = "";
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT, (node) =>
      node.parentElement.closest("button, .raw-panel, summary q") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    while (walker.nextNode()) {
      nodes.push(walker.currentNode);
      starts.push(text.length);
      text += walker.currentNode.data;
    }
    const lower = text.toLowerCase();
    const spots = [];
    if (lower.length !== text.length) return spots;
    const point = (offset) => {
      let low = 0, high = starts.length;
      while (high - low > 1) { const middle = (low + high) >> 1; if (starts[middle] <= offset) low = middle; else high = middle; }
      return [nodes[low], offset - starts[low]];
    };
    for (let start = lower.indexOf(words); start >= 0 && spots.length < FOUND_MAX; start = lower.indexOf(words, start + words.length)) {
      const range = new Range();
      range.setStart(...point(start));
      const [last, offset] = point(start + words.length - 1);
      range.setEnd(last, offset + 1);
      spots.push(range);
    }
    return spots;
  }

  function search(words) {
    sought = words;
    found = [];
    at = -1;
    if (words) {
      for (const block of all("h1, .session dl, .turn-head, .item .body", main)) {
        if (found.length >= FOUND_MAX) break;
        if (block.textContent.toLowerCase().includes(words)) found.push(...rangesIn(block, words));
      }
    }
    if (canHighlight) {
      CSS.highlights.delete("here");
      CSS.highlights.set("found", new Highlight(...found));
    }
    report();
  }

  function report() {
    bar.classList.toggle("searching", Boolean(sought));
    const count = `${found.length.toLocaleString("en")}${found.length >= FOUND_MAX ? "+" : ""}`;
    const cut = main.querySelector(".cut") ? " · truncated texts are not searched" : "";
    count_.textContent = !sought ? "" : !found.length ? `Nothing found${cut}` : at < 0 ? `${count} found${cut}` : `${(at + 1).toLocaleString("en")} of ${count}${cut}`;
  }

  function next(by) {
    const words = box.value.toLowerCase();
    if (words !== sought) search(words);
    if (!found.length) return;
    if (at < 0) {
      const below = found.findIndex((range) => range.startContainer.parentElement.getBoundingClientRect().top > 0);
      at = by > 0 ? Math.max(below, 0) : (below > 0 ? below : found.length) - 1;
    } else at = (at + by + found.length) % found.length;
    const range = found[at];
    const place = range.startContainer.parentElement;
    open(place);
    document.querySelector(".found-here")?.classList.remove("found-here");
    if (canHighlight) CSS.highlights.set("here", new Highlight(range));
    else place.classList.add("found-here");
    const show = () => {
      const box = range.getBoundingClientRect();
      scrollBy({ top: box.top - innerHeight / 3, behavior: "instant" });
    };
    place.scrollIntoView({ block: "center", behavior: "instant" });
    requestAnimationFrame(() => { show(); requestAnimationFrame(show); });
    report();
  }

  const box = make("input", { type: "search", placeholder: matchMedia("(hover: hover)").matches ? "Search (press /)" : "Search", autocomplete: "off", spellcheck: false });
  box.setAttribute("aria-label", "Search in this page");
  const count_ = make("output");
  const control = (text, name, kind, act) => {
    const button = make("button", { type: "button", textContent: text, title: name, className: kind, onclick: act });
    button.setAttribute("aria-label", name);
    return button;
  };
  const bar = make("div", { className: "bar" }, box,
    control("↑", "Previous match", "seek", () => next(-1)), control("↓", "Next match", "seek", () => next(1)), count_,
    control("Expand", "Expand all", "fold-all", () => foldAll(true)),
    control("Collapse", "Collapse all", "fold-all", () => foldAll(false)),
    control("Keys", "Keys", "by-key fold-all", () => keys.showModal()));
  bar.setAttribute("role", "search");
  let typing = 0;
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => search(box.value.toLowerCase()), 200);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); clearTimeout(typing); next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { event.preventDefault(); box.value = ""; search(""); box.blur(); }
  });

  // Keys.

  const KEYS = [["j  n", "next turn"], ["k  p", "previous turn"], ["/", "search; Enter: next match, Shift+Enter: previous match, Escape: end the search"],
    ["e", "expand all"], ["c", "collapse all"], ["r", "raw JSON of the focused item"], ["?", "this list"]];
  const keys = make("dialog", {}, make("h2", { textContent: "Keyboard shortcuts", id: "keys-title" }),
    make("dl", {}, ...KEYS.flatMap(([key, what]) => [
      make("dt", {}, ...key.split("  ").flatMap((one, i) => [i ? " " : "", make("kbd", { textContent: one })])),
      make("dd", { textContent: what })])),
    make("button", { type: "button", textContent: "Close", onclick: () => keys.close() }));
  keys.setAttribute("aria-labelledby", "keys-title");

  const ACTS = {
    j: () => step(1), n: () => step(1), k: () => step(-1), p: () => step(-1),
    "/": () => { box.focus(); box.select(); }, "?": () => keys.showModal(), e: () => foldAll(true), c: () => foldAll(false),
    r: () => { const item = document.activeElement?.closest(".item"); if (item) { dress(item); toggleRaw(item.querySelector(".raw")); } },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const act = ACTS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // Live updates: elements are replaced by their ids; elements that the reader opened stay open.

  const parsed = (html) => make("template", { innerHTML: html }).content.firstElementChild;

  function replace(old, html) {
    const fresh = parsed(html);
    if (!old || !fresh) return fresh;
    const boxes = all("details", old);
    all("details", fresh).forEach((box, i) => { if (boxes[i]) box.open = boxes[i].open; });
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(fresh);
    const panel = old.querySelector(":scope > .raw-panel");
    if (old.dataset.dressed) dress(fresh);
    if (panel && fresh.matches(".item")) fresh.querySelector(".body").before(panel);
    if (hadFocus) fresh.querySelector("a, button")?.focus({ preventScroll: true });
    return fresh;
  }

  function sectionOf(id) {
    const known = document.getElementById(id);
    if (known) return known;
    const section = make("section", { className: "turn", id }, make("header", { className: "turn-head" }),
      make("div", { className: "items" }), make("footer", { className: "others" }));
    section.setAttribute("aria-label", `Turn ${id.slice(1)}`);
    const number = Number(id.slice(1));
    const later = turns().find((turn) => Number(turn.id.slice(1)) > number);
    document.getElementById("turns").insertBefore(section, later || null);
    return section;
  }

  function listTurn(section) {
    const title = section.querySelector("h2 a");
    const list = side?.querySelector("ol");
    if (!title || !list) return;
    let link = list.querySelector(`a[href="#${section.id}"]`);
    if (!link) {
      link = make("a", { href: `#${section.id}` });
      const later = all("a", list).find((a) => Number(a.hash.slice(2)) > Number(section.id.slice(1)));
      list.insertBefore(make("li", {}, link), later?.parentElement || null);
      side.querySelector("summary").textContent = plural(all('a:not([href="#t0"])', list).length, "turn");
    }
    link.replaceChildren(...[...title.childNodes].map((node) => node.cloneNode(true)));
    link.parentElement.classList.toggle("rolled-back", section.querySelector(".turn-head").matches(".rolled-back"));
  }

  function foldBack(section) {
    const items = section.querySelector(".items");
    if (!section.querySelector(".turn-head.rolled-back") || items.closest("details")) return;
    const fold = make("details", { className: "fold back" }, make("summary", { textContent: `Rolled back by the user: ${plural(items.children.length, "item")}` }));
    items.replaceWith(fold);
    fold.append(items);
  }

  let waiting = 0;
  const news = make("button", { type: "button", id: "news", hidden: true, onclick: () => { news.hidden = true; waiting = 0; toEnd(); } });
  const toEnd = (times = 3) => {
    scrollTo({ top: root.scrollHeight, behavior: "instant" });
    // The elements that come into view get their real size only now.
    if (times) requestAnimationFrame(() => toEnd(times - 1));
  };
  const isAtEnd = () => innerHeight + scrollY >= root.scrollHeight - 80;

  function inView() {
    const [list, index] = turnInView();
    const near = list.slice(Math.max(index, 0), index + 2).flatMap((turn) => all(".item, .turn-head", turn));
    return near.find((element) => element.getBoundingClientRect().bottom > 60);
  }

  /**
   * Update the page. `turn` is the id of a section ("t3"). `head`, `others`, `items`, `heading` and `closing` are HTML
   * from the methods of Renderer: turn_head, others, item, heading, closing.
   */
  function update({ turn, head, items = [], others, heading, closing }) {
    const wasAtEnd = isAtEnd();
    const anchor = wasAtEnd ? null : inView();
    const top = anchor?.getBoundingClientRect().top;
    const anchorId = anchor?.id;
    const section = sectionOf(turn);
    let count = 0;
    if (head) replace(section.querySelector(".turn-head"), head);
    for (const html of items) {
      const fresh = parsed(html);
      const old = document.getElementById(fresh.id);
      if (old) replace(old, html);
      else { section.querySelector(".items").append(fresh); count += 1; if (main.getElementsByClassName("item").length <= DRESSED_MAX) dress(fresh); }
    }
    if (others) {
      const fresh = replace(section.querySelector(".others"), others);
      const details = fresh.querySelector("details[open]");
      if (details) listLines(details);
    }
    if (heading) replace(document.getElementById("session-head"), heading);
    if (closing) replace(document.getElementById("end"), closing);
    foldBack(section);
    listTurn(section);
    if (wasAtEnd) toEnd();
    else {
      const same = anchor?.isConnected ? anchor : document.getElementById(anchorId);
      if (same) scrollBy({ top: same.getBoundingClientRect().top - top, behavior: "instant" });
      waiting += count;
      news.textContent = `${waiting.toLocaleString("en")} new ↓`;
      news.hidden = !waiting;
    }
    mark();
  }
  addEventListener("scroll", () => { if (!news.hidden && isAtEnd()) { news.hidden = true; waiting = 0; } }, { passive: true });

  // Start.

  function narrow() {
    const jump = side?.querySelector(".jump");
    if (jump) jump.open = !phone.matches;
  }
  side?.prepend(bar);
  side?.addEventListener("click", (event) => { if (phone.matches && event.target.closest("a")) narrow(); });
  document.body.append(keys, news);
  phone.addEventListener("change", narrow);
  narrow();
  const items = all(".item", main);
  if (items.length <= DRESSED_MAX) items.forEach(dress);
  if (location.hash) goToTarget();
  mark();
  return { raw, output, update };
})();
