// One uPlot picture: all series of one unit, its legend, and what is painted over them.

import uPlot from "uplot";
import { paintOver, paintUnder } from "./annotations.js";
import { roundStep, ticks, timeTicks, timeWords, valueRange, valueWords } from "./axes.js";
import { Legend } from "./chart_controls.js";
import { decimate, MAX_POINTS } from "./decimate.js";
import { make } from "./dom.js";
import { UNIT_WORDS } from "./format.js";
import { seriesStyle } from "./theme.js";

const HEIGHT = 170;
/** Points of a panel, all its lines together; many lines get fewer each. */
const PANEL_POINTS = 60_000;
const FEWEST_POINTS = 120;
const NARROW = 520;
const TICK_SPACE = 34;
const TIME_SPACE = 84;
const POINT_SPACE = 14;

export class Panel {
  /** @param {object} chart the chart it belongs to */
  constructor(chart, unit) {
    this.chart = chart;
    this.unit = unit;
    this.series = [];
    this.plot = null;
    this.legend = new Legend(chart, unit);
    this.stage = make("div", { class: "tes-stage" });
    this.element = make("section", { class: "tes-panel", "aria-label": `Panel: ${this.words}` }, [
      make("h4", { class: "tes-unit", text: this.words }),
      this.stage,
      this.legend.element,
    ]);
  }

  get words() {
    return UNIT_WORDS[this.unit] ?? this.unit;
  }

  /** Draw these series, [{series, index}], from now on; index chooses the colour. */
  setSeries(members) {
    this.series = members;
    this.legend.setSeries(members);
    this.rebuild();
  }

  /** Begin anew: after other series, another theme, another device. */
  rebuild() {
    this.plot?.destroy();
    const theme = this.chart.theme();
    const lines = this.series.map(({ series, index }) => {
      const style = seriesStyle(theme, index);
      const points = { size: 5, width: 1, fill: style.stroke, show: fewPoints, filter: isolated };
      return { label: series.name, ...style, show: !this.chart.isHidden(series.key), points };
    });
    this.plot = new uPlot(this.options(theme, lines), [[], ...lines.map(() => [])], this.stage);
    this.data = [[]];
    this.legend.paint(theme);
  }

  options(theme, lines) {
    const axis = { stroke: theme.quiet, grid: { stroke: theme.line, width: 1 }, ticks: { stroke: theme.line, width: 1 } };
    const font = "11px system-ui, sans-serif";
    return {
      width: this.width(),
      height: HEIGHT,
      padding: [8, 12, 0, 0],
      series: [{}, ...lines],
      scales: {
        x: { time: true, range: () => this.chart.range() },
        y: { range: (_, low, high) => valueRange(low, high, this.limits().map(({ value }) => value)) },
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
      cursor: { sync: { key: this.chart.key, setSeries: false }, drag: { x: true, y: false, setScale: false } },
      legend: { show: false },
      hooks: {
        drawClear: [(u) => paintUnder(u, this.chart.data.annotations, this.chart.theme(), this.chart.newest())],
        draw: [(u) => paintOver(u, this.chart.data.annotations, this.limits(), this.chart.theme())],
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

  /** Draw what the chart's range shows now. */
  draw() {
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
    this.legend.paintValues(this.cursorValues());
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
