// What is written about a chart's times: marks, executed cells, kernel-held bands, gaps, limits, alerts. Painted over and
// under the lines on uPlot's canvas, said beside the cursor, and listed.

import { make, setText } from "./dom.js";
import { count, formatDuration, formatTime, formatValue, shorten } from "./format.js";
import { offsetWords } from "./zone.js";

const STRIP = 5;
const MARK_CHARS = 28;
/** Lines that the tip shows. */
export const TIP_LINES = 12;
const TIP_NOTES = 6;
const MOST_EVENTS = 200;

/** Everything with a time that is not a series, as the kernel or the page sends it. */
export class Annotations {
  constructor() {
    this.marks = [];
    this.cells = [];
    this.held = [];
    this.gaps = [];
    this.allMarks = [];
    this.subject = null;
  }

  /** Show the marks of one subject, and those of none; null = all. */
  setSubject(subject) {
    this.subject = subject;
    this.marks = this.allMarks.filter((mark) => subject === null || (mark.subject ?? subject) === subject);
  }

  /** Replace the parts that are given: marks {t, label, value and part of a point}, else spans {start, end, label} (end null = still going on). */
  set(state) {
    for (const name of ["marks", "cells", "held", "gaps"]) if (Array.isArray(state[name])) this[name] = state[name];
    if (!Array.isArray(state.marks)) return;
    this.allMarks = state.marks;
    this.setSubject(this.subject);
  }

  /** Return [annotation, sentence] of everything. */
  sentences(now) {
    return [
      ...this.marks.map((mark) => [mark, `⚑ ${labelOf(mark, "mark")}`]),
      ...this.held.map((band) => [band, heldWords(band, now)]),
      ...this.gaps.map((gap) => [gap, gapWords(gap, now)]),
      ...this.cells.map((cell) => [cell, `▸ ${labelOf(cell, "cell")} · ${duration(cell, now)}`]),
    ];
  }

  /** Return the sentences about what is at `time`, within `near` seconds. */
  at(time, near, now) {
    const here = ({ t, start, end }) => (t ?? start) - near <= time && time <= (t ?? end ?? now) + near;
    return this.sentences(now).flatMap(([annotation, sentence]) => (here(annotation) ? [sentence] : []));
  }
}

function labelOf({ label }, fallback) {
  return shorten(String(label ?? fallback), 200);
}

function duration({ start, end }, now) {
  return formatDuration((end ?? now) - start) + (end == null ? " so far" : "");
}

function heldWords(band, now) {
  const place = band.place ? ` in ${shorten(String(band.place), 200)}` : "";
  return `kernel held ${duration(band, now)}${place}`;
}

function gapWords(gap, now) {
  return `nothing received ${duration(gap, now)}: ${labelOf(gap, "gap")}`;
}

/** Thresholds: lines that colour when a series passes them. */
export class Limits {
  /** @param {{column: string, label?: string, above?: number, below?: number}[]} list */
  constructor(list = []) {
    this.limits = list.flatMap((one) => [
      ...(Number.isFinite(one.above) ? [{ ...one, value: one.above, sign: 1 }] : []),
      ...(Number.isFinite(one.below) ? [{ ...one, value: one.below, sign: -1 }] : []),
    ]);
  }

  /** Whether the series' newest value lies beyond one of its limits. */
  isPassed(series) {
    return this.limits.some((limit) => isBeyond(limit, series));
  }

  /** Return the limits of these series as {value, passed, words}. */
  of(members) {
    return this.limits
      .filter((limit) => members.some((series) => concerns(limit, series)))
      .map((limit) => {
        const passed = members.some((series) => isBeyond(limit, series));
        const value = limit.value * (members[0].factor ?? 1);
        const bound = formatValue(value, members[0].unit);
        return { value, passed, words: `${passed ? "⚠ " : ""}${limit.column} ${limit.sign > 0 ? ">" : "<"} ${bound}` };
      });
  }
}

function concerns(limit, series) {
  return limit.column === series.column && (limit.label == null || limit.label === series.label);
}

function isBeyond(limit, series) {
  return concerns(limit, series) && limit.sign * (series.ring.lastValue - limit.value * (series.factor ?? 1)) > 0;
}

/** Paint what lies under the lines: held bands and gaps. */
export function paintUnder(u, annotations, theme, now) {
  const { ctx, bbox } = u;
  ctx.save();
  clip(ctx, bbox);
  for (const gap of annotations.gaps) paintBand(u, gap, theme.quiet, gapWords(gap, now), theme, now);
  for (const band of annotations.held) paintBand(u, band, theme.bad, heldWords(band, now), theme, now);
  ctx.restore();
}

function paintBand(u, band, colour, words, theme, now) {
  const { ctx, bbox } = u;
  const [left, right] = span(u, band.start, band.end ?? now);
  ctx.globalAlpha = theme.dark ? 0.28 : 0.14;
  ctx.fillStyle = colour;
  ctx.fillRect(left, bbox.top, right - left, bbox.height);
  ctx.globalAlpha = 1;
  writeInside(ctx, words, left, right, bbox.top + bbox.height - 4 * devicePixelRatio, theme.fg);
}

/** Paint what lies over the lines: the strip of cells, which the grid does not cut, marks, and limits, which colour when they are passed. */
export function paintOver(u, annotations, limits, theme, now, part = "") {
  const { ctx, bbox } = u;
  ctx.save();
  clip(ctx, bbox);
  for (const cell of annotations.cells) {
    const [left, right] = span(u, cell.start, cell.end ?? now);
    ctx.globalAlpha = 0.75;
    ctx.fillStyle = theme.accent;
    ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), STRIP * devicePixelRatio);
  }
  ctx.globalAlpha = 1;
  ctx.lineWidth = devicePixelRatio;
  let free = -Infinity;
  const isPoint = ({ value }) => Number.isFinite(value);
  const flags = annotations.marks.filter((mark) => !isPoint(mark)).sort((a, b) => a.t - b.t);
  for (const mark of flags) free = paintMark(ctx, u, mark, theme, free);
  for (const mark of annotations.marks) if (isPoint(mark) && mark.part === part) paintPoint(ctx, u, mark, theme);
  for (const limit of limits) {
    const y = Math.round(u.valToPos(limit.value, "y", true));
    ctx.strokeStyle = ctx.fillStyle = limit.passed ? theme.bad : theme.warn;
    ctx.lineWidth = (limit.passed ? 2 : 1) * devicePixelRatio;
    line(ctx, [6, 4], bbox.left, y, bbox.left + bbox.width, y);
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.fillText(shorten(limit.words, 60), bbox.left + bbox.width - 4, y - 3 * devicePixelRatio);
  }
  ctx.restore();
}

/** Paint a mark that has a value, such as where a price went: a point on the line; the tip and the list have its words. */
function paintPoint(ctx, u, { t, value }, theme) {
  ctx.beginPath();
  ctx.arc(u.valToPos(t, "x", true), u.valToPos(value, "y", true), 4 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.fillStyle = theme.warn;
  ctx.strokeStyle = theme.ground;
  ctx.fill();
  ctx.stroke();
}

/** Paint a mark, with its text where that has room. free: where the text before it ends; returns where this one does. */
function paintMark(ctx, u, mark, theme, free) {
  const x = Math.round(u.valToPos(mark.t, "x", true));
  if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return free;
  const flag = 6 * devicePixelRatio;
  ctx.strokeStyle = ctx.fillStyle = theme.accent;
  line(ctx, [3, 3], x, u.bbox.top, x, u.bbox.top + u.bbox.height);
  ctx.beginPath();
  ctx.moveTo(x, u.bbox.top);
  ctx.lineTo(x + flag, u.bbox.top + flag / 2);
  ctx.lineTo(x, u.bbox.top + flag);
  ctx.fill();
  const words = shorten(String(mark.label ?? ""), MARK_CHARS);
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  const size = ctx.measureText(words).width;
  const right = x + 1.5 * flag + size <= u.bbox.left + u.bbox.width;
  const left = right ? x + 1.5 * flag : x - flag / 2 - size;
  if (!words || left < Math.max(free, u.bbox.left)) return Math.max(free, x + flag);
  ctx.textAlign = "left";
  ctx.lineWidth = 3 * devicePixelRatio;
  ctx.strokeStyle = theme.ground;
  ctx.strokeText(words, left, u.bbox.top + 1.6 * flag);
  ctx.fillStyle = theme.fg;
  ctx.fillText(words, left, u.bbox.top + 1.6 * flag);
  ctx.lineWidth = devicePixelRatio;
  return left + size + flag;
}

function clip(ctx, { left, top, width, height }) {
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
}

/** The band's edges on the canvas, cut to the picture: a position far outside would overflow. */
function span(u, start, end) {
  const { left, width } = u.bbox;
  const place = (time) => Math.max(left - 2, Math.min(left + width + 2, u.valToPos(time, "x", true)));
  return [place(start), place(end)];
}

function line(ctx, dash, x0, y0, x1, y1) {
  ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
  ctx.setLineDash([]);
}

function writeInside(ctx, words, left, right, y, colour) {
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  if (ctx.measureText(words).width + 8 * devicePixelRatio > right - left) return;
  ctx.fillStyle = colour;
  ctx.fillText(words, left + 4 * devicePixelRatio, y);
}

/** The small box beside the cursor: the time, every line's value there, and what is marked there. */
export class Tip {
  constructor() {
    this.element = make("div", { class: "tes-tip", role: "note", hidden: true });
  }

  /**
   * Show it beside the cursor of `panel`.
   *
   * @param {{time: number, lines: {name: string, value: string, style: object}[], notes: string[]}} content
   */
  show(panel, { left, top }, { time, lines, notes }) {
    const rows = lines.slice(0, TIP_LINES).map(({ name, value, style }) => {
      const swatch = make("span", { class: "tes-swatch" });
      swatch.style.borderTop = swatchBorder(style);
      const words = [make("span", { class: "tes-name", text: shorten(name, 60) }), make("span", { class: "tes-value", text: value })];
      return make("div", { class: "tes-at" }, [swatch, ...words]);
    });
    const more = [
      ...(lines.length > TIP_LINES ? [`and ${count(lines.length - TIP_LINES, "more line")}`] : []),
      ...notes.slice(0, TIP_NOTES),
      ...(notes.length > TIP_NOTES ? [`and ${notes.length - TIP_NOTES} more`] : []),
    ];
    const when = make("div", { class: "tes-when", text: `${formatTime(time)} ${offsetWords(time)}` });
    this.element.replaceChildren(when, ...rows, ...more.map((text) => make("div", { text })));
    this.element.hidden = false;
    this.place(panel.querySelector(".u-over"), left, top);
  }

  /** To the right of the cursor, else to its left; never beyond the chart. */
  place(over, left, top) {
    const chart = this.element.parentElement;
    const box = over?.getBoundingClientRect() ?? { left: 0, top: 0 };
    const origin = chart.getBoundingClientRect();
    const at = box.left - origin.left + left;
    const room = chart.clientWidth - this.element.offsetWidth;
    const beside = at + 14 <= room ? at + 14 : at - 14 - this.element.offsetWidth;
    this.element.style.left = `${Math.max(0, Math.min(room, beside))}px`;
    this.element.style.top = `${box.top - origin.top + Math.max(0, top) + 12}px`;
  }

  hide() {
    this.element.hidden = true;
  }
}

/** How a line's swatch is drawn, as CSS. */
export function swatchBorder({ stroke, dash }) {
  return `3px ${dash.length ? "dashed" : "solid"} ${stroke}`;
}

/** Annotations and alerts as a list that opens: for those who cannot hover, and to read them in order. */
export class EventList {
  constructor(chart) {
    this.chart = chart;
    this.summary = make("summary");
    this.list = make("ol");
    this.element = make("details", { class: "tes-events", hidden: true, on: { toggle: () => this.paint() } }, [
      this.summary,
      this.list,
    ]);
  }

  paint() {
    const { alerts, annotations } = this.chart.data;
    const now = this.chart.newest();
    const events = [
      ...alerts.map(({ t, text }) => [t, `⚠ ${shorten(String(text), 200)}`]),
      ...annotations.sentences(now).map(([annotation, sentence]) => [annotation.t ?? annotation.start, sentence]),
    ];
    this.element.hidden = events.length === 0;
    this.element.classList.toggle("tes-passed", alerts.length > 0);
    const prefix = alerts.length ? `${count(alerts.length, "alert")} · ` : "";
    setText(this.summary, prefix + count(events.length, "event"));
    if (!this.element.open) return;
    events.sort((a, b) => b[0] - a[0]);
    const lines = events.slice(0, MOST_EVENTS).map(([time, words]) => `${formatTime(time)}  ${words}`);
    if (lines.join("\n") === this.text) return;
    this.text = lines.join("\n");
    this.list.replaceChildren(...lines.map((text) => make("li", { text })));
  }
}
