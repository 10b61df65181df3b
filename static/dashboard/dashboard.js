// What the dashboard's pages do in the browser: times in the chosen zone, filters into the URL,
// copy buttons, charts that follow the theme.
"use strict";

(() => {
  const root = document.getElementById("dashboard");
  if (!root) return;
  const zone = root.dataset.zone;

  // The browser's own zone is a cookie, so that the server can begin days at its midnight.
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (own && !root.dataset.zoneAsked && zone !== own && !document.cookie.includes("tokenwatch_zone=" + own)) {
    document.cookie = `tokenwatch_zone=${own}; path=/; max-age=31536000; samesite=lax`;
    if (document.cookie.includes("tokenwatch_zone=" + own)) location.reload();
  }

  const moment = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  });
  function times(within) {
    for (const element of within.querySelectorAll("time.d-time")) {
      const when = new Date(element.dateTime);
      element.title = element.dateTime + ", shown in " + zone;
      element.textContent = moment.format(when);
    }
  }

  function zones() {
    const input = root.querySelector("[data-zone-input]");
    if (!input) return;
    input.addEventListener("focus", () => {
      const list = document.getElementById("d-zones");
      if (list.childElementCount) return;
      for (const name of ["UTC", ...Intl.supportedValuesOf("timeZone")]) {
        const option = document.createElement("option");
        option.value = name;
        list.append(option);
      }
    }, { once: true });
    input.addEventListener("change", () => location.assign(TokenWatchCharts.here({ zone: input.value.trim() || null })));
  }

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.textContent = "Copied";
    }
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-filters]")) return;
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-filters] select")) event.target.form.requestSubmit();
  });

  document.addEventListener("htmx:afterSwap", () => { times(root); TokenWatchCharts.all(); });
  document.addEventListener("tokenwatch:refreshed", () => { times(root); TokenWatchCharts.all(); });
  const drawn = () => TokenWatchCharts.all();
  new MutationObserver(drawn).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  times(root);
  zones();
  drawn();
})();
