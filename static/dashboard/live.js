// The live feed: rows as they come, a state that can be seen, and reconnecting by itself. Names
// come from clients and are only ever set as text.
"use strict";

(() => {
  const card = document.querySelector("[data-live]");
  if (!card) return;
  const SHOWN = 25, LONGEST = 8000, REFRESH = 8000;
  const zone = document.getElementById("dashboard").dataset.zone;
  const filters = JSON.parse(card.dataset.filtersJson || "{}");
  const find = (name) => card.querySelector(`[data-live-${name}]`);
  const body = find("rows"), stateLabel = find("state"), note = find("note"), none = find("none"), button = find("pause");
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  let socket = null, wait = 500, last = Number(card.dataset.after), paused = false, held = [], skipped = 0, stale = false, timer = null;

  function state(name, text) {
    stateLabel.dataset.state = name;
    stateLabel.textContent = text;
  }

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  function dollars(text) {
    if (text === null) return "unknown";
    const value = Number(text);
    if (!value) return "$0";
    return "$" + (value >= 1 ? value.toFixed(2) : value.toPrecision(2).includes("e") ? value.toFixed(8) : value.toPrecision(2));
  }

  function status(row) {
    const text = `${row.status_code} ${row.error_type}`.trim();
    if (row.status_code >= 500 || (row.status_code < 400 && row.error_type)) return element("span", "✕ " + text, "d-pill d-bad");
    return row.status_code >= 400 ? element("span", "! " + text, "d-pill d-warn") : element("span", "✓ " + text, "d-pill d-ok");
  }

  function shown(row) {
    const line = element("tr", undefined, "d-new");
    const cell = (content, className) => {
      const made = element("td", undefined, className);
      made.append(content);
      line.append(made);
    };
    const link = element("a", clock.format(new Date(row.created_at)));
    link.href = card.dataset.requestUrl.replace("0".repeat(32), encodeURIComponent(row.request_id));
    const asked = row.model_requested && row.model_used && row.model_requested !== row.model_used ? row.model_requested + " → " : "";
    const about = row.usage_estimated ? "~" : "";
    cell(link);
    cell(row.source_app || "–");
    cell(asked + (row.model_used || row.model_requested || "–"));
    cell(status(row));
    cell(about + row.input_tokens.toLocaleString("en-US") + " in", "d-num d-md");
    cell(about + row.output_tokens.toLocaleString("en-US") + " out", "d-num d-md");
    cell(row.cache_tier || "–", "d-md d-short");
    cell(dollars(row.cost), "d-num");
    cell(row.latency_ms.toLocaleString("en-US") + " ms", "d-num d-md");
    cell(row.feature_tag || "–", "d-md d-short");
    return line;
  }

  function show(rows) {
    if (!rows.length) return;
    none.hidden = true;
    const known = new Set([...body.children].map((line) => line.dataset.id));
    for (const row of rows.slice(-SHOWN)) {
      if (known.has(String(row.id))) continue;
      const line = shown(row);
      line.dataset.id = row.id;
      body.prepend(line);
    }
    while (body.children.length > SHOWN) body.lastElementChild.remove();
  }

  function tell() {
    const parts = [];
    if (paused && held.length) parts.push(`${held.length} new since the pause.`);
    if (skipped) parts.push(`${skipped.toLocaleString("en-US")} more came than are listed here; the totals have them.`);
    note.textContent = parts.join(" ");
    note.hidden = !parts.length;
  }

  function take(message) {
    if (message.type === "database") {
      message.ok ? state("live", "Live") : state("lost", "The database is away; rows will follow");
      return;
    }
    for (const row of message.rows) last = Math.max(last || 0, row.id);
    skipped += message.skipped;
    stale = stale || message.rows.length > 0 || message.skipped > 0;
    if (paused) held = held.concat(message.rows).slice(-SHOWN * 4);
    else show(message.rows);
    tell();
    if (!timer) { timer = setTimeout(() => { timer = null; refresh(); }, document.querySelector("[data-empty]") ? 300 : REFRESH); }
  }

  // The tiles, alerts and charts of a range that ends now are fetched again while rows come.
  async function refresh() {
    if (!stale || paused || document.hidden || new URLSearchParams(location.search).has("to")) return;
    stale = false;
    if (document.querySelector("[data-empty]")) { location.reload(); return; }
    let text;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      text = await answer.text();
    } catch { return; }
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const id of ["live-parts", "chart-data"]) {
      const old = document.getElementById(id), next = fresh.getElementById(id);
      if (old && next && !old.contains(document.activeElement)) old.replaceWith(document.adoptNode(next));
    }
    document.dispatchEvent(new Event("tokenwatch:refreshed"));
  }

  function connect() {
    state("", "Connecting …");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/ws/live`);
    socket.onopen = () => {
      wait = 500;
      state("live", paused ? "Paused" : "Live");
      socket.send(JSON.stringify({ type: "want", filters, after: last }));
    };
    socket.onmessage = (event) => take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (event.code === 4401) { state("lost", "Logged out: reload the page"); return; }
      state("lost", `Not connected; trying again in ${Math.ceil(wait / 1000)} s`);
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, LONGEST);
    };
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    if (socket.readyState === WebSocket.OPEN) state(paused ? "" : "live", paused ? "Paused" : "Live");
    if (!paused) { show(held); held = []; skipped = 0; refresh(); }
    tell();
  });
  window.addEventListener("pagehide", () => { if (socket) { socket.onclose = null; socket.close(); } });
  connect();
})();
