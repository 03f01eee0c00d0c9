// One uPlot picture: all series of one quantity and unit, its legend, and what is painted over them.

import uPlot from "uplot";
import { paintOver, paintUnder, TIP_LINES } from "./annotations.js";
import { roundStep, ticks, timeTicks, timeWords, valueRange, valueWords } from "./axes.js";
import { Legend } from "./chart_controls.js";
import { decimate, MAX_POINTS } from "./decimate.js";
import { make, setText } from "./dom.js";
import { formatValue, shorten, UNIT_WORDS } from "./format.js";
import { seriesStyle } from "./theme.js";

const HEIGHT = 170;
/** Points of a panel, all its lines together; many lines get fewer each. */
const PANEL_POINTS = 60_000;
const FEWEST_POINTS = 120;
const NARROW = 520;
const TICK_SPACE = 34;
const TIME_SPACE = 84;
const POINT_SPACE = 14;
const TITLE_NAMES = 3;

export class Panel {
  /** @param {object} chart the chart it belongs to @param {string} group of its series @param {object} first of these */
  constructor(chart, group, { quantity, part, unit }) {
    this.chart = chart;
    this.group = group;
    this.quantity = quantity;
    this.part = part;
    this.unit = unit;
    /** All series, and those that are drawn: others are folded. */
    this.members = [];
    this.series = [];
    this.showsAll = false;
    this.plot = null;
    this.remeasure = false;
    this.legend = new Legend(this);
    this.heading = make("h4");
    this.stage = make("div", { class: "tes-stage" });
    this.zone = make("p", { class: "tes-zone" });
    this.element = make("section", { class: "tes-panel" }, [
      make("div", { class: "tes-caption" }, [this.heading, make("span", { class: "tes-unit", text: UNIT_WORDS[unit] ?? unit })]),
      this.stage,
      this.zone,
      this.legend.element,
    ]);
    this.listen();
  }

  /** What is measured, else whom or what the lines are about; with the unit. */
  get words() {
    return [this.heading.textContent, UNIT_WORDS[this.unit] ?? this.unit].filter(Boolean).join(", ");
  }

  title() {
    if (this.quantity) return [this.quantity, this.part].filter(Boolean).join(", ");
    const nameOf = (series) => (series.ownUnit ? this.nameOf(series) : series.title);
    const names = Array.from(new Set(this.members.map(({ series }) => nameOf(series))));
    const more = names.length > TITLE_NAMES ? `, ${names.length - TITLE_NAMES} more` : "";
    return names.slice(0, TITLE_NAMES).map((name) => shorten(name, 40)).join(", ") + more;
  }

  /** What people call a series: whom it is about, and what, unless the panel says that already. */
  nameOf(series) {
    const columns = new Set(this.members.map((member) => member.series.column));
    if (columns.size > 1 && this.chart.subject) return series.title; // the line above all panels says whom
    const title = series.subject && columns.size === 1 ? "" : series.title;
    return [series.subject, title].filter(Boolean).join(" · ");
  }

  /** Draw these series, [{series, colour, dash}], from now on. */
  setSeries(members) {
    this.members = this.part ? withoutStrangers(members) : members;
    this.arrange();
  }

  arrange() {
    const { members } = this;
    const moving = members.filter(({ series }) => series.extent === "1");
    this.series = this.showsAll || !moving.length ? members : moving;
    setText(this.heading, this.title());
    this.element.setAttribute("aria-label", `Panel: ${this.words}`);
    this.legend.setSeries(this.series, members.filter((member) => !this.series.includes(member)));
    this.rebuild();
  }

  /** Show the lines that were folded too, or fold them again. */
  toggleAll() {
    this.showsAll = !this.showsAll;
    this.arrange();
    this.chart.requestDraw();
  }

  /** Ctrl and the wheel zoom around the cursor, Shift and a drag moves the picture. */
  listen() {
    const { stage, chart } = this;
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    let drag = null;
    stage.addEventListener("pointerdown", (event) => {
      if (!event.shiftKey || event.button !== 0 || !this.plot) return;
      event.preventDefault();
      drag = { x: event.clientX, range: chart.range() };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [from, to] = drag.range;
      const by = ((drag.x - event.clientX) / this.plot.over.clientWidth) * (to - from);
      chart.zoomTo([from + by, to + by]);
    });
    for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => (drag = null));
  }

  onWheel(event) {
    if (!event.ctrlKey || !this.plot) return;
    event.preventDefault();
    const box = this.plot.over.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    const [from, to] = this.chart.range();
    const span = Math.max(0.1, (to - from) * (event.deltaY < 0 ? 0.8 : 1.25));
    const middle = from + share * (to - from);
    this.chart.zoomTo([middle - share * span, middle + (1 - share) * span]);
  }

  /** Begin anew: after other series, another theme, another device. */
  rebuild() {
    this.plot?.destroy();
    const theme = this.chart.theme();
    const lines = this.series.map((member) => {
      const style = seriesStyle(theme, member.colour, member.dash);
      const points = { size: 5, width: 1, fill: style.stroke, show: fewPoints, filter: isolated };
      const fill = this.series.length === 1 && this.unit ? `${style.stroke}1f` : undefined;
      return { label: member.series.name, ...style, fill, show: !this.chart.isHidden(member.series.key), points };
    });
    this.plot = new uPlot(this.options(theme, lines), [[], ...lines.map(() => [])], this.stage);
    this.data = [[]];
    this.legend.paint(theme);
  }

  options(theme, lines) {
    const axis = { stroke: theme.quiet, grid: { stroke: theme.grid, width: 1 }, ticks: { stroke: theme.line, width: 1 } };
    const font = "11px system-ui, sans-serif";
    return {
      width: this.width(),
      height: HEIGHT,
      padding: [10, 28, 0, 0],
      series: [{}, ...lines],
      scales: {
        x: { time: true, range: () => this.chart.range() },
        y: { range: (_, low, high) => valueRange(low, high, this.limits().map(({ value }) => value), !this.unit) },
      },
      axes: [
        {
          ...axis,
          font,
          size: 28,
          splits: (u, _, low, high) => timeTicks(low, high, u.bbox.width / devicePixelRatio / TIME_SPACE),
          values: (_, splits) => timeWords(splits),
        },
        {
          ...axis,
          font,
          size: (u, words) => this.chart.axisSize(widest(u, words)),
          incrs: (u, _, low, high) => [1, 10].map((times) => times * roundStep((high - low) / tickCount(u))),
          splits: (u, _, low, high) => ticks(low, high, tickCount(u)),
          values: (_, splits) => valueWords(splits, this.unit),
        },
      ],
      cursor: {
        y: false,
        sync: { key: this.chart.key, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        bind: { mousedown: (_, __, handler) => (event) => (event.shiftKey ? null : handler(event)) },
      },
      legend: { show: false },
      hooks: {
        drawClear: [(u) => paintUnder(u, this.chart.data.annotations, this.chart.theme(), this.chart.newest())],
        draw: [(u) => paintOver(u, this.chart.data.annotations, this.limits(), this.chart.theme(), this.chart.newest(), this.part)],
        setCursor: [() => this.onCursorMove()],
        setSelect: [(u) => this.onSelect(u)],
      },
    };
  }

  limits() {
    return this.chart.limitsOf(this.series.map(({ series }) => series));
  }

  width() {
    return Math.max(120, Math.floor(this.stage.clientWidth || this.chart.width()));
  }

  resize() {
    const width = this.width();
    this.element.classList.toggle("tes-narrow", width < NARROW);
    if (this.plot && this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
  }

  /** Draw what the chart's range shows now. zone: the date, and the time zone of the axis. */
  draw(zone) {
    setText(this.zone, zone);
    const [from, to] = this.chart.range();
    const visible = this.series.filter(({ series }) => !this.chart.isHidden(series.key));
    const most = Math.max(FEWEST_POINTS, Math.min(MAX_POINTS, Math.floor(PANEL_POINTS / visible.length)));
    // uPlot keeps the smallest and largest of a pixel column itself, but its columns must be aligned anew for each draw.
    // Of 6 lines × 100,000 points one takes 12 ms with this and 60 to 80 without; where each line has its own times, 13
    // and 250 (Chromium without a GPU, 880 pixels, medians of 11). The picture is the same to the eye. See 0010.
    const { x, ys } = decimate(visible.map(({ series }) => series.ring.points()), from, to, most);
    const blank = new Array(x.length);
    let next = 0;
    const column = ({ series }) => (this.chart.isHidden(series.key) ? blank : ys[next++]);
    this.data = [x, ...this.series.map(column)];
    this.plot.setData(this.data);
    if (this.remeasure) this.plot.redraw(false, true);
    this.remeasure = false;
    this.legend.paintValues(this.cursorValues(), this.chart.showsStats ? [from, to] : null);
  }

  /** Show the lines that are not hidden. */
  updateVisibility() {
    this.series.forEach(({ series }, place) => {
      this.plot.setSeries(place + 1, { show: !this.chart.isHidden(series.key) });
    });
    this.legend.paint(this.chart.theme());
  }

  onCursorMove() {
    if (!this.plot) return;
    this.legend.paintValues(this.cursorValues());
    this.chart.onCursor(this, this.plot.cursor);
  }

  /** The time of the point under the cursor, else of the cursor itself. */
  timeAt({ left, idx }) {
    return this.data[0][idx] ?? this.plot.posToVal(left, "x");
  }

  /** The lines that have a value under the cursor, as the tip shows them; of many, those near it first. */
  valuesAt({ idx }) {
    if (idx === null || idx === undefined) return [];
    const theme = this.chart.theme();
    const lines = this.series.flatMap(({ series, colour, dash }, place) => {
      const value = valueAt(this.data[place + 1] ?? [], idx);
      if (this.chart.isHidden(series.key) || value === null || value === undefined) return [];
      return [{ name: this.nameOf(series), at: value, value: formatValue(value, this.unit), style: seriesStyle(theme, colour, dash) }];
    });
    const height = this.plot.posToVal(this.plot.cursor.top, "y");
    if (lines.length <= TIP_LINES || !Number.isFinite(height)) return lines;
    const nearest = new Set([...lines].sort((a, b) => Math.abs(a.at - height) - Math.abs(b.at - height)).slice(0, TIP_LINES));
    return [...lines.filter((line) => nearest.has(line)), ...lines.filter((line) => !nearest.has(line))];
  }

  /** The values under the cursor, or null where there is no cursor: then the newest ones are shown. */
  cursorValues() {
    const place = this.plot?.cursor.idx;
    if (place === null || place === undefined || this.plot.cursor.left < 0) return null;
    return this.data.slice(1).map((column) => valueAt(column, place));
  }

  onSelect(u) {
    if (u.select.width < 4) return;
    const edge = (left) => u.posToVal(left, "x");
    this.chart.zoomTo([edge(u.select.left), edge(u.select.left + u.select.width)]);
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  destroy() {
    this.plot?.destroy();
    this.plot = null;
    this.element.remove();
  }
}

/** A column without any value does not concern this part of the table: there is no draw in a handicap. */
function withoutStrangers(members) {
  const concerned = new Set(members.filter(({ series }) => series.extent).map(({ series }) => series.column));
  return concerned.size ? members.filter(({ series }) => concerned.has(series.column)) : members;
}

function tickCount(u) {
  return Math.max(1, u.bbox.height / devicePixelRatio / TICK_SPACE);
}

/** A place where only other series have a point shows the value that holds there. */
function valueAt(column, place) {
  for (let at = place; at >= 0 && place - at < 60; at--) if (column[at] !== undefined) return column[at];
  return undefined;
}

/** Points are drawn where they lie well apart; elsewhere the line says it all. */
function fewPoints(u, _, first, last) {
  const place = (at) => u.valToPos(u.data[0][at], "x");
  return last > first && (place(last) - place(first)) / (last - first) > POINT_SPACE;
}

/** A point between two gaps is no line: draw it as a dot. */
function isolated(u, place, show) {
  if (show) return null;
  const column = u.data[place];
  const lone = [];
  let before = null;
  let candidate = -1;
  for (let at = 0; at < column.length; at++) {
    if (column[at] === undefined) continue;
    if (candidate >= 0 && column[at] === null) lone.push(candidate);
    candidate = column[at] !== null && before === null ? at : -1;
    before = column[at];
  }
  if (candidate >= 0) lone.push(candidate);
  return lone;
}

function widest(u, words) {
  if (!words) return 0;
  u.ctx.save();
  u.ctx.font = "11px system-ui, sans-serif";
  const most = Math.max(0, ...words.map((word) => u.ctx.measureText(word).width));
  u.ctx.restore();
  return Math.ceil(most) + 18;
}

/**
 * Return how each series of a panel is drawn: where all are about one subject, its column has the colour, the same in
 * every view; else the subject has it, in every panel, and columns differ by dashes.
 */
export function membersOf(panel, subjects) {
  const columns = Array.from(new Set(panel.filter(({ extent }) => extent).map(({ column }) => column)));
  return panel.map((series, place) => {
    if (subjects.length < 2) return { series, colour: series.colour < 0 ? place : series.colour, dash: 0 };
    return { series, colour: subjects.indexOf(series.subject), dash: Math.max(0, columns.indexOf(series.column)) };
  });
}
