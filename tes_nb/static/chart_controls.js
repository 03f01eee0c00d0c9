// What a reader sets a chart with: the line above it, the keyboard, and the legend of each panel.

import { button, make, setText } from "./dom.js";
import { formatDuration, formatValue, shorten } from "./format.js";
import { Badge } from "./shell.js";
import { seriesStyle } from "./theme.js";

const WINDOWS = [30, 60, 300, 900, 3600, 6 * 3600];
export const KEYS_HELP =
  "Left and right move the cursor, with shift the picture; plus and minus zoom, 0 shows the whole window, space pauses.";
const STEP_PX = 8;

/** The line above a chart: state, title, window, pause, zoom, PNG, CSV. */
export class Toolbar {
  /** @param {object} chart @param {{title: string, windowS: number}} options */
  constructor(chart, { title, windowS }) {
    this.badge = new Badge();
    this.window = make("select", { "aria-label": "Time window", on: { change: () => chart.setWindow(Number(this.window.value)) } });
    this.pause = button("Pause", "Hold the picture still (space); data is still kept", "false", () => chart.setPaused(!chart.isPaused()));
    this.reset = button("Reset zoom", "Show the whole window again (0)", undefined, () => chart.zoomTo(null));
    this.reset.disabled = true;
    this.fillWindows(windowS);
    this.element = make("div", { class: "tes-bar", role: "toolbar", "aria-label": `${title} chart` }, [
      this.badge.element,
      make("span", { class: "tes-title", text: title }),
      make("span", { class: "tes-tools" }, [
        this.window,
        this.pause,
        this.reset,
        button("PNG", "Save the picture as PNG", undefined, () => chart.savePng()),
        button("CSV", "Save the points in view as CSV", undefined, () => chart.saveCsv()),
      ]),
    ]);
  }

  fillWindows(windowS) {
    const choices = new Set([...WINDOWS, ...(Number.isFinite(windowS) ? [windowS] : [])]);
    const sorted = [...choices].sort((a, b) => a - b);
    const words = (seconds) => formatDuration(seconds).replace(/\.0 s$| 0 s$| 0 min$/, (end) => (end === ".0 s" ? " s" : ""));
    this.window.replaceChildren(
      ...sorted.map((seconds) => make("option", { value: seconds, text: words(seconds) })),
      make("option", { value: Infinity, text: "all" }),
    );
    this.window.value = String(windowS);
  }

  paint({ paused, zoomed }) {
    this.pause.setAttribute("aria-pressed", String(paused));
    setText(this.pause, paused ? "Resume" : "Pause");
    this.reset.disabled = !zoomed;
  }
}

/** Carry out one key press on a chart. */
export function handleKey(chart, event) {
  const act = ACTIONS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(chart, event);
}

const ACTIONS = {
  ArrowLeft: (chart, event) => (event.shiftKey ? pan(chart, -0.2) : moveCursor(chart, -STEP_PX)),
  ArrowRight: (chart, event) => (event.shiftKey ? pan(chart, 0.2) : moveCursor(chart, STEP_PX)),
  "+": (chart) => scale(chart, 0.5),
  "=": (chart) => scale(chart, 0.5),
  "-": (chart) => scale(chart, 2),
  0: (chart) => chart.zoomTo(null),
  Escape: (chart) => chart.zoomTo(null),
  " ": (chart) => chart.setPaused(!chart.isPaused()),
};

function moveCursor(chart, by) {
  const plot = chart.panels[0]?.plot;
  if (!plot) return;
  const right = plot.over.clientWidth;
  const left = plot.cursor.left >= 0 ? plot.cursor.left : right;
  plot.setCursor({ left: Math.max(0, Math.min(right, left + by)), top: plot.over.clientHeight / 2 });
}

function pan(chart, share) {
  const [from, to] = chart.range();
  const by = (to - from) * share;
  chart.zoomTo([from + by, to + by]);
}

function scale(chart, factor) {
  const [from, to] = chart.range();
  const middle = (from + to) / 2;
  const half = Math.max(0.05, ((to - from) * factor) / 2);
  chart.zoomTo([middle - half, middle + half]);
}

/** The legend of a panel: a button per series, with its newest value or the one under the cursor. */
export class Legend {
  constructor(chart, unit) {
    this.chart = chart;
    this.unit = unit;
    this.rows = [];
    this.element = make("ul", { class: "tes-legend" });
  }

  setSeries(members) {
    this.rows = members.map(({ series, index }) => this.row(series, index));
    this.element.replaceChildren(...this.rows.map(({ item }) => item));
  }

  row(series, index) {
    const swatch = make("span", { class: "tes-swatch" });
    const value = make("span", { class: "tes-value" });
    const title = `${shorten(series.name, 300)}: click shows or hides it, shift-click shows it alone`;
    const on = { click: (event) => this.chart.toggle(series.key, event.shiftKey) };
    const toggle = make("button", { type: "button", title, on }, [
      swatch,
      make("span", { class: "tes-name", text: shorten(series.name, 80) }),
      value,
    ]);
    return { series, index, swatch, value, toggle, item: make("li", {}, [toggle]) };
  }

  /** Colours and pressed states. */
  paint(theme) {
    for (const { series, index, swatch, toggle } of this.rows) {
      const { stroke, dash } = seriesStyle(theme, index);
      swatch.style.borderTop = `3px ${dash.length ? "dashed" : "solid"} ${stroke}`;
      toggle.setAttribute("aria-pressed", String(!this.chart.isHidden(series.key)));
    }
  }

  /** Show these values, in the order of the series; null = the newest ones. */
  paintValues(values) {
    this.rows.forEach(({ series, value, toggle }, place) => {
      setText(value, formatValue(values === null ? series.ring.lastValue : values[place], this.unit));
      toggle.classList.toggle("tes-passed", this.chart.isPassed(series));
    });
  }
}
