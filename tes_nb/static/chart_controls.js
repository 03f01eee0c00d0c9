// What a reader sets a chart with: the line above it, the keyboard, and the legend of each panel.

import { swatchBorder } from "./annotations.js";
import { lowerBound } from "./decimate.js";
import { button, enable, make, setText } from "./dom.js";
import { formatDuration, formatValue, shorten } from "./format.js";
import { Badge } from "./shell.js";
import { seriesStyle } from "./theme.js";
import { chooseZone, homeZone, otherZone, usualZone, zone } from "./zone.js";

const NOT_ZOOMED = "The whole window is shown.";
const EMPTY = "There is nothing to save yet.";
const WINDOWS = [30, 60, 300, 900, 3600, 6 * 3600];
export const KEYS_HELP =
  "Left and right move the cursor, with shift the picture; plus and minus zoom, 0 shows the whole window, space pauses, " +
  "a question mark says more.";
const HELP = [
  ["Drag", "zoom into a stretch of time"],
  ["Ctrl + wheel", "zoom around the cursor"],
  ["Shift + drag", "move along the time"],
  ["Double click, 0, Esc", "show the whole window again"],
  ["← →", "move the cursor; with Shift the picture"],
  ["+ −", "zoom in and out"],
  ["Space", "pause and resume"],
  ["Click in a legend", "show or hide a line; with Shift it alone"],
  ["?", "show or hide this"],
];
const STEP_PX = 8;
/** Rows of a legend before it is opened. */
const MOST_ROWS = 12;

/** The line above a chart: state, title, filter, window, pause, zoom, statistics, time zone, PNG, CSV, help. */
export class Toolbar {
  /** @param {object} chart @param {{title: string, windowS: number}} options */
  constructor(chart, { title, windowS }) {
    this.about = make("span", { class: "tes-detail tes-filter" });
    this.badge = new Badge();
    this.window = make("select", { "aria-label": "Time window", on: { change: () => chart.setWindow(Number(this.window.value)) } });
    this.pause = button("Pause", "", "false", () => chart.setPaused(!chart.isPaused()));
    this.reset = button("Reset zoom", "", undefined, () => chart.zoomTo(null));
    this.png = button("PNG", "", undefined, () => chart.savePng());
    this.csv = button("CSV", "", undefined, () => chart.saveCsv());
    this.stats = button("Stats", "Least, greatest and mean value of what is in view", "false", () => chart.toggleStats());
    this.zone = button("", "", "false", () => chooseZone(otherZone()));
    this.help = button("?", "What mouse and keyboard do (?)", "false", () => this.toggleHelp(chart));
    this.fillWindows(windowS);
    this.paintZone();
    this.enable({ isOver: false, isEmpty: true });
    enable(this.reset, "", NOT_ZOOMED);
    this.element = make("div", { class: "tes-bar", role: "toolbar", "aria-label": `${title} chart` }, [
      this.badge.element,
      make("span", { class: "tes-title", text: title }),
      this.about,
      make("span", { class: "tes-tools" }, [
        this.window,
        this.pause,
        this.reset,
        this.stats,
        this.zone,
        this.png,
        this.csv,
        this.help,
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

  /** Say whom the chart is about, and which rows it shows. */
  say(words) {
    setText(this.about, words.filter(Boolean).map((one) => shorten(one, 200)).join(" · "));
  }

  paint({ paused, zoomed, stats }) {
    this.pause.setAttribute("aria-pressed", String(paused));
    setText(this.pause, paused ? "Resume" : "Pause");
    enable(this.reset, "Show the whole window again (0)", zoomed ? "" : NOT_ZOOMED);
    this.stats.setAttribute("aria-pressed", String(stats));
  }

  /** Let what can act be pressed. isOver: nothing more comes; isEmpty: nothing has come. */
  enable({ isOver, isEmpty }) {
    enable(this.pause, "Hold the picture still (space); data is still kept", isOver ? "Nothing more comes, so there is nothing to hold still." : "");
    enable(this.png, "Save the picture as PNG", isEmpty ? EMPTY : "");
    enable(this.csv, "Save the points in view as CSV", isEmpty ? EMPTY : "");
  }

  /** Say which time zone is shown; where it is always UTC there is nothing to choose. */
  paintZone() {
    this.zone.hidden = usualZone() === "UTC" && homeZone() === "UTC";
    setText(this.zone, "UTC");
    this.zone.title = `Times are in ${zone()}; a click shows ${otherZone() ?? usualZone()}`;
    this.zone.setAttribute("aria-pressed", String(zone() === "UTC"));
  }

  toggleHelp(chart) {
    this.help.setAttribute("aria-pressed", String(chart.help.toggle()));
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
  " ": (chart) => chart.toolbar.pause.disabled || chart.setPaused(!chart.isPaused()),
  "?": (chart) => chart.toolbar.toggleHelp(chart),
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

/** What a mouse and a keyboard do, opened by the button "?". */
export class Help {
  constructor() {
    const rows = HELP.flatMap(([what, does]) => [make("dt", { text: what }), make("dd", { text: does })]);
    this.element = make("div", { class: "tes-help", role: "note", hidden: true }, [make("dl", {}, rows)]);
  }

  toggle() {
    this.element.hidden = !this.element.hidden;
    return !this.element.hidden;
  }
}

/** The legend of a panel: a button per series, with its newest value or the one under the cursor. It cuts no row. */
export class Legend {
  constructor(panel) {
    this.panel = panel;
    this.chart = panel.chart;
    this.rows = [];
    this.showsAll = false;
    this.element = make("ul", { class: "tes-legend" });
  }

  /** members: those with a line; folded: those without a value, or with nothing but zeros. */
  setSeries(members, folded) {
    this.members = members;
    this.folded = folded;
    this.rows = (this.showsAll ? members : members.slice(0, MOST_ROWS)).map((member) => this.row(member));
    const more = [this.moreRows(), this.moreLines()].filter(Boolean);
    this.element.replaceChildren(...this.rows.map(({ item }) => item), ...more);
  }

  /** The button for the rows that a short legend leaves out. */
  moreRows() {
    const left = this.members.length - MOST_ROWS;
    if (left <= 0) return null;
    const text = this.showsAll ? "fewer" : `${left} more`;
    return this.more(text, "Show all lines of this legend, or the first ones", () => {
      this.showsAll = !this.showsAll;
      this.setSeries(this.members, this.folded);
      this.paint(this.chart.theme());
      this.chart.requestDraw();
    });
  }

  /** The button for the lines that are not drawn. */
  moreLines() {
    const { panel, folded } = this;
    const zeros = folded.filter(({ series }) => series.extent === "0").length;
    const words = [zeros ? `${zeros} more, all 0` : "", folded.length > zeros ? `${folded.length - zeros} without a value` : ""];
    if (!folded.length && !panel.showsAll) return null;
    return this.more(folded.length ? words.filter(Boolean).join(" · ") : "fold those of zeros", "Show or fold these lines", () => panel.toggleAll());
  }

  more(text, title, click) {
    return make("li", {}, [make("button", { type: "button", class: "tes-more", text, title, on: { click } })]);
  }

  row(member) {
    const { series } = member;
    const swatch = make("span", { class: "tes-swatch" });
    const value = make("span", { class: "tes-value" });
    const stats = make("span", { class: "tes-stats", hidden: true });
    const exact = [shorten(series.name, 300), series.doc].filter(Boolean).join(": ");
    const title = `${exact}\nClick shows or hides it, shift-click shows it alone`;
    const on = { click: (event) => this.chart.toggle(series.key, event.shiftKey) };
    const toggle = make("button", { type: "button", title, on }, [
      swatch,
      make("span", { class: "tes-name", text: shorten(this.panel.nameOf(series), 80) }),
      value,
      stats,
    ]);
    return { ...member, swatch, value, stats, toggle, item: make("li", {}, [toggle]) };
  }

  /** Colours and pressed states. */
  paint(theme) {
    for (const { series, colour, dash, swatch, toggle } of this.rows) {
      swatch.style.borderTop = swatchBorder(seriesStyle(theme, colour, dash));
      toggle.setAttribute("aria-pressed", String(!this.chart.isHidden(series.key)));
    }
  }

  /**
   * Show these values, in the order of the series; null = the newest ones.
   *
   * @param {(number | null | undefined)[] | null} values
   * @param {[number, number] | null} [range] of which least, greatest and mean are shown; null = they are not
   */
  paintValues(values, range) {
    const { unit } = this.panel;
    this.rows.forEach(({ series, value, stats, toggle }, place) => {
      setText(value, formatValue(values === null ? series.ring.lastValue : values[place], unit));
      toggle.classList.toggle("tes-passed", this.chart.isPassed(series));
      if (range === undefined) return;
      stats.hidden = range === null;
      if (range !== null) setText(stats, statsWords(series.ring.points(), range, unit));
    });
  }
}

/** "min 1 · max 9 · mean 4.5" of the points from `from` to `to`. */
export function statsWords({ times, values }, [from, to], unit) {
  let [least, greatest, sum, count] = [Infinity, -Infinity, 0, 0];
  for (let at = lowerBound(times, from); at < times.length && times[at] <= to; at++) {
    const value = values[at];
    if (!Number.isFinite(value)) continue;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
    sum += value;
    count += 1;
  }
  const numbers = count ? [least, greatest, sum / count] : [NaN, NaN, NaN];
  return ["min", "max", "mean"].map((word, place) => `${word} ${formatValue(numbers[place], unit)}`).join(" · ");
}
