// What is written over the lines: kernel-held bands, gaps, executed cells, marks, limits. Painting on uPlot's canvas.

import { formatDuration, shorten } from "./format.js";

const STRIP = 5;

/** Everything with a time that is not a series, as the kernel or the page tells it. */
export class Notes {
  constructor() {
    this.marks = [];
    this.cells = [];
    this.held = [];
    this.gaps = [];
  }

  /** Take the parts that are told: marks {t, label}, else spans {start, end, label} (end null = still going on). */
  set(told) {
    for (const name of ["marks", "cells", "held", "gaps"]) if (Array.isArray(told[name])) this[name] = told[name];
  }

  /** Return [time, sentence] of everything. */
  words(now) {
    return [
      ...this.marks.map((mark) => [mark, `⚑ ${text(mark, "mark")}`]),
      ...this.held.map((band) => [band, heldWords(band, now)]),
      ...this.gaps.map((gap) => [gap, gapWords(gap, now)]),
      ...this.cells.map((cell) => [cell, `▸ ${text(cell, "cell")} · ${lasted(cell, now)}`]),
    ];
  }

  /** Return the sentences about what is at `time`, within `near` seconds. */
  at(time, near, now) {
    const here = ({ t, start, end }) => (t ?? start) - near <= time && time <= (t ?? end ?? now) + near;
    return this.words(now).flatMap(([note, sentence]) => (here(note) ? [sentence] : []));
  }

  /** Return [time, sentence] of all, newest first: the same for those who cannot hover. */
  listed(now) {
    return this.words(now)
      .map(([note, sentence]) => [note.t ?? note.start, sentence])
      .sort((a, b) => b[0] - a[0]);
  }
}

function text(note, fallback) {
  return shorten(String(note.label ?? fallback), 200);
}

function lasted({ start, end }, now) {
  return formatDuration((end ?? now) - start) + (end == null ? " so far" : "");
}

export function heldWords(band, now) {
  return `kernel held ${lasted(band, now)}`;
}

function gapWords(gap, now) {
  return `nothing received ${lasted(gap, now)}: ${text(gap, "gap")}`;
}

/** Paint what lies under the lines: held bands, gaps, and the strip of executed cells. */
export function paintUnder(u, notes, theme, now) {
  const { ctx, bbox } = u;
  ctx.save();
  clip(ctx, bbox);
  for (const gap of notes.gaps) paintBand(u, gap, theme.quiet, gapWords(gap, now), theme, now);
  for (const band of notes.held) paintBand(u, band, theme.bad, heldWords(band, now), theme, now);
  for (const cell of notes.cells) {
    const [left, right] = span(u, cell.start, cell.end ?? now);
    ctx.globalAlpha = 0.75;
    ctx.fillStyle = theme.accent;
    ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), STRIP * devicePixelRatio);
  }
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

/** Paint what lies over the lines: marks, and limits, which colour when they are passed. */
export function paintOver(u, notes, limits, theme) {
  const { ctx, bbox } = u;
  ctx.save();
  clip(ctx, bbox);
  ctx.lineWidth = devicePixelRatio;
  for (const mark of notes.marks) paintMark(ctx, u, mark, theme);
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

function paintMark(ctx, u, mark, theme) {
  const x = Math.round(u.valToPos(mark.t, "x", true));
  if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
  const flag = 6 * devicePixelRatio;
  ctx.strokeStyle = ctx.fillStyle = theme.accent;
  line(ctx, [3, 3], x, u.bbox.top, x, u.bbox.top + u.bbox.height);
  ctx.beginPath();
  ctx.moveTo(x, u.bbox.top);
  ctx.lineTo(x + flag, u.bbox.top + flag / 2);
  ctx.lineTo(x, u.bbox.top + flag);
  ctx.fill();
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

