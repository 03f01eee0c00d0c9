// What you see, as a file: CSV of the points in view, PNG of the panels.

import { lowerBound } from "./decimate.js";
import { formatValue } from "./format.js";
import { isoTime, zone } from "./zone.js";

const LEGEND_LINE = 16;

/** Text that a spreadsheet would run as a formula gets a ' before it; commas and quotes are quoted. */
export function csvCell(value) {
  const text = String(value);
  const tame = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(tame) ? `"${tame.replace(/"/g, '""')}"` : tame;
}

/**
 * Return CSV of the series' own points (never thinned) from `from` to `to`: ISO time with the page's offset from UTC,
 * then a column per series.
 *
 * @param {{name: string, unit: string, fileUnit?: string, factor?: number, ring: {points: Function}}[]} lines
 */
export function toCsv(lines, from, to) {
  const rows = new Map();
  lines.forEach((series, place) => {
    const { times, values } = series.ring.points();
    for (let at = lowerBound(times, from); at < times.length && times[at] <= to; at++) {
      if (Number.isNaN(values[at])) continue;
      if (!rows.has(times[at])) rows.set(times[at], new Array(lines.length).fill(""));
      rows.get(times[at])[place] = values[at] / (series.factor ?? 1);
    }
  });
  const head = [`time [${zone()}]`, ...lines.map(({ name, unit, fileUnit = unit }) => (fileUnit ? `${name} [${fileUnit}]` : name))];
  const times = Array.from(rows.keys()).sort((a, b) => a - b);
  const body = times.map((time) => [isoTime(time), ...rows.get(time)]);
  return [head, ...body].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

/** Paint all panels, with title, state and legend, on one canvas. */
export function toCanvas({ title, state, panels, theme, isHidden }) {
  const ratio = devicePixelRatio || 1;
  const pictures = panels.filter((panel) => panel.plot);
  const width = Math.max(300, ...pictures.map((panel) => panel.plot.width));
  const visible = (panel) => panel.series.filter(({ series }) => !isHidden(series.key)).slice(0, 24);
  const heights = pictures.map((panel) => 38 + panel.plot.height + Math.ceil(visible(panel).length / 3) * LEGEND_LINE + 8);
  const canvas = document.createElement("canvas");
  canvas.width = width * ratio;
  canvas.height = (30 + heights.reduce((sum, height) => sum + height, 0)) * ratio;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.fillStyle = theme.ground;
  ctx.fillRect(0, 0, width, canvas.height);
  write(ctx, `${title}   ${state}   ${isoTime(Math.floor(Date.now() / 1000)).replace(".000", "")}`, 8, 20, theme.fg, "600 13px");
  let top = 30;
  pictures.forEach((panel, place) => {
    write(ctx, panel.words, 8, top + 14, theme.fg, "600 12px");
    ctx.drawImage(panel.plot.ctx.canvas, 0, top + 22, panel.plot.width, panel.plot.height);
    write(ctx, panel.zone.textContent, 8, top + 34 + panel.plot.height, theme.quiet);
    writeLegend(ctx, panel, visible(panel), top + 38 + panel.plot.height, width, theme);
    top += heights[place];
  });
  return canvas;
}

function writeLegend(ctx, panel, members, top, width, theme) {
  members.forEach(({ series }, place) => {
    const x = 8 + (place % 3) * (width / 3);
    const y = top + 12 + Math.floor(place / 3) * LEGEND_LINE;
    ctx.fillStyle = panel.plot.series[panel.series.findIndex((one) => one.series === series) + 1]._stroke ?? theme.fg;
    ctx.fillRect(x, y - 5, 12, 3);
    const words = `${panel.nameOf(series)}  ${formatValue(series.ring.lastValue, panel.unit)}`;
    write(ctx, words, x + 17, y, theme.fg, "11px", width / 3 - 24);
  });
}

function write(ctx, words, x, y, colour, font = "11px", most = undefined) {
  ctx.fillStyle = colour;
  ctx.font = `${font} system-ui, sans-serif`;
  ctx.fillText(words, x, y, most);
}
