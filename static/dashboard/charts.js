// The dashboard's charts: drawn with Chart.js from JSON that stands in the page. Dragging over
// any of them zooms the whole page; a colour of the legend, or a bar, filters. Names come from
// clients: they are only ever set as text.
"use strict";

const TokenWatchCharts = (() => {
  const LIGHT = ["#4a6fd0", "#2f9488", "#c98a25", "#b65a86", "#7c62c0", "#5b8f45"];
  const DARK = ["#7492e6", "#4fb5a8", "#e0ae58", "#d184aa", "#a48fe0", "#86b870"];
  const made = [], drawn = new WeakMap();

  const dark = () => document.documentElement.classList.contains("dark");
  const css = (name) => getComputedStyle(document.getElementById("dashboard")).getPropertyValue(name).trim();
  const colours = () => (dark() ? DARK : LIGHT);
  const other = () => (dark() ? "#7b8594" : "#a3abb8");

  function data(id) {
    const element = document.getElementById(id || "chart-data");
    return element ? JSON.parse(element.textContent) : null;
  }

  function dollars(value) {
    if (!value) return "$0";
    const size = Math.abs(value);
    const digits = size >= 1000 ? 0 : size >= 1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size)));
    return "$" + value.toLocaleString("en-US", { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits });
  }
  const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  const UNITS = {
    usd: dollars,
    tokens: (v) => compact.format(v) + " tokens",
    requests: (v) => compact.format(v),
    ms: (v) => (v < 1000 ? Math.round(v) + " ms" : (v / 1000).toPrecision(3) + " s"),
  };

  function labels(slices, end, zone) {
    const span = new Date(end) - new Date(slices[0]);
    const day = 86400000;
    const options = span <= 2 * day ? { hour: "2-digit", minute: "2-digit", hour12: false }
      : span <= 12 * day ? { weekday: "short", day: "numeric", hour: "2-digit", hour12: false }
      : { day: "numeric", month: "short" };
    const format = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone });
    return slices.map((slice) => format.format(new Date(slice)));
  }

  function hatch(colour) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour; pen.lineWidth = 3;
    pen.beginPath(); pen.moveTo(0, 8); pen.lineTo(8, 0); pen.moveTo(-2, 2); pen.lineTo(2, -2); pen.moveTo(6, 10); pen.lineTo(10, 6); pen.stroke();
    return pen.createPattern(tile, "repeat");
  }

  function options(unit, stacked, legend) {
    const muted = css("--d-muted"), line = css("--d-line"), format = UNITS[unit];
    return {
      responsive: true, maintainAspectRatio: false, animation: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked, grid: { display: false }, border: { color: line }, ticks: { color: muted, maxRotation: 0, autoSkipPadding: 16 } },
        y: { stacked, beginAtZero: true, border: { display: false }, grid: { color: line }, ticks: { color: muted, maxTicksLimit: 5, callback: (v) => format(v) } },
      },
      plugins: {
        legend: legend ? { position: "bottom", align: "start", labels: { color: css("--d-text"), boxWidth: 10, boxHeight: 10 } } : { display: false },
        tooltip: {
          itemSort: (a, b) => b.raw - a.raw,
          filter: (item) => item.raw !== null && (item.raw !== 0 || !stacked),
          callbacks: { label: (item) => ` ${item.dataset.label}: ${format(item.raw)}` },
        },
      },
    };
  }

  function stack(found, figure, key) {
    const palette = colours();
    return found[key].map((line, index) => ({
      label: line.name, data: line[figure], filter: line.filter,
      backgroundColor: line.filter ? palette[index % palette.length] : other(),
      stack: "all", borderWidth: 0, barPercentage: 0.92, categoryPercentage: 0.96,
    }));
  }

  const line = (label, values, colour, dash) => ({
    type: "line", label, data: values, borderColor: colour, backgroundColor: colour, borderDash: dash || [],
    borderWidth: 2, pointRadius: values.length < 3 ? 3 : 0, pointHitRadius: 8, tension: 0.25, spanGaps: true,
  });

  const KINDS = {
    stack: (box, found) => ({
      unit: box.dataset.unit, stacked: true, sets: stack(found, box.dataset.figure, "models"), filter: "model",
    }),
    lines: (box, found) => ({ unit: "usd", stacked: true, sets: stack(found, "cost", "lines"), filter: "tag" }),
    status: (box, found) => ({
      unit: "requests", stacked: true, legend: true,
      sets: [
        { label: "without error", data: found.ok, backgroundColor: colours()[0], stack: "all" },
        { label: "with error (hatched)", data: found.errors, backgroundColor: hatch(css("--d-bad")), borderColor: css("--d-bad"), borderWidth: 1, stack: "all" },
      ],
    }),
    latency: (box, found) => ({
      unit: "ms", stacked: false, legend: true,
      sets: [line("p50", found.p50, colours()[0]), line("p95 (dashed)", found.p95, colours()[2], [6, 4])],
    }),
    forecast: (box, found) => {
      const past = found.past.map((one) => one[0]), coming = found.coming.map((one) => one[0]);
      const gap = past.map(() => null), format = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
      const fill = colours()[1] + "33", edge = { borderWidth: 0, pointRadius: 0, pointHitRadius: 0 };
      return {
        unit: "usd", stacked: false, legend: false, labels: [...past, ...coming].map((day) => format.format(new Date(day))),
        sets: [
          { type: "bar", label: "spent", data: [...found.past.map((one) => one[1]), ...(coming.length ? [found.today] : []), ...coming.slice(1).map(() => null)], backgroundColor: colours()[0] },
          { ...line("expected", [...gap, ...found.coming.map((one) => one[1])], colours()[1], [6, 4]) },
          { ...line("80% above", [...gap, ...found.coming.map((one) => one[2])], fill), ...edge },
          { ...line("80% below", [...gap, ...found.coming.map((one) => one[3])], fill), ...edge, fill: "-1" },
        ],
      };
    },
  };

  function here(changes) {
    const query = new URLSearchParams(location.search);
    query.delete("before");
    for (const [name, value] of Object.entries(changes)) value === null ? query.delete(name) : query.set(name, value);
    return "?" + query.toString();
  }

  function legend(box, chart, filter) {
    const list = box.parentElement.querySelector("[data-legend]");
    if (!list) return;
    list.replaceChildren(...chart.data.datasets.map((set) => {
      const item = document.createElement("li");
      const label = document.createElement(set.filter ? "a" : "span");
      const swatch = document.createElement("i");
      swatch.style.background = set.backgroundColor;
      label.append(swatch, set.label);
      if (set.filter) { label.href = here({ [filter]: set.filter }); label.title = "Show only this"; }
      item.append(label);
      return item;
    }));
  }

  // Dragging: from the slice under the first point to the one under the last.
  function zoom(box) {
    let from = null, band = null;
    const index = (event) => {
      const { chart, found } = drawn.get(box);
      const area = chart.chartArea, x = event.clientX - box.getBoundingClientRect().left;
      const part = (Math.min(Math.max(x, area.left), area.right) - area.left) / (area.right - area.left);
      return Math.min(found.slices.length - 1, Math.floor(part * found.slices.length));
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      from = { index: index(event), x: event.clientX };
    });
    box.addEventListener("pointermove", (event) => {
      if (from === null || Math.abs(event.clientX - from.x) < 6) return;
      if (!band) { band = document.createElement("div"); band.className = "d-band"; box.append(band); }
      const left = box.getBoundingClientRect().left;
      band.style.left = Math.min(event.clientX, from.x) - left + "px";
      band.style.width = Math.abs(event.clientX - from.x) + "px";
    });
    window.addEventListener("pointerup", (event) => {
      const start = from;
      from = null;
      if (!band) return;
      band.remove(); band = null;
      const [a, b] = [start.index, index(event)].sort((x, y) => x - y);
      const { found } = drawn.get(box);
      const short = (moment) => new Date(moment).toISOString().slice(0, 19) + "Z";
      location.assign(here({ from: short(found.slices[a]), to: short(found.slices[b + 1] || found.end), range: null }));
    });
  }

  function draw(box) {
    const found = data(box.dataset.source);
    if (!found) return;
    const plan = KINDS[box.dataset.chart](box, found);
    const config = options(plan.unit, plan.stacked, plan.legend);
    const chart = new Chart(box.querySelector("canvas"), {
      type: "bar",
      data: { labels: plan.labels || labels(found.slices, found.end, found.zone), datasets: plan.sets },
      options: config,
    });
    legend(box, chart, plan.filter);
    if (found.slices && !box.dataset.zooms) { box.dataset.zooms = "yes"; zoom(box); }
    drawn.set(box, { chart, found });
    made.push(chart);
  }

  function all() {
    while (made.length) made.pop().destroy();
    document.querySelectorAll("[data-chart]").forEach(draw);
  }

  return { all, here };
})();
