// Lanes over time: what cells, workers, jobs, matches and feeds were doing, each state by colour and by pattern.
//
// What comes are changes of state (tes_nb/streams/lanes.py): [lane, name, time, state, look, text, end], by source.

import { SharedZoom, timeTicks, timeWords, zoomed } from "./axes.js";
import { button, enable, make, setText } from "./dom.js";
import { count, formatDates, formatDuration, formatTime, shorten } from "./format.js";
import { Shell } from "./shell.js";
import { LOOKS, paintLook, readTheme, watchTheme } from "./theme.js";
import { watchZone, zoneWords } from "./zone.js";

const QUESTION = "What was everything doing, and when: cells, workers, jobs, matches and feeds.";
const ROW = 24;
const BAR = 16;
const AXIS = 26;
const [GUTTER, NARROW_GUTTER, NARROW] = [230, 110, 560];
const [MOST_LANES, MOST_REMEMBERED] = [200, 1_000];
const MOST_SPANS = 2_000;
const WINDOWS = [60, 300, 900, 3600, 6 * 3600, Infinity];
const SHORTEST_S = 30;
/** What there is to draw, filled by a kernel's messages or by the page. */
export class LaneData {
  constructor() {
    this.lanes = new Map();
    this.feeds = [];
    this.marks = [];
    this.held = [];
    this.listeners = new Set();
  }

  /** Apply changes of one source, in their order. */
  add(source, changes) {
    for (const [lane, name, time, state, look, text, end] of changes) {
      const key = `${source}\n${lane}`;
      if (!this.lanes.has(key) && state !== null) this.lanes.set(key, { key: lane, source, name: "", spans: [] });
      const one = this.lanes.get(key);
      if (!one) continue;
      const last = one.spans[one.spans.length - 1];
      if (last && last.end === null && last.state === state && last.text === text) continue; // said again
      if (last && last.end === null) last.end = Math.max(last.start, time);
      if (name) one.name = name;
      if (state !== null) one.spans.push({ start: time, end, state, look, text });
      if (one.spans.length > MOST_SPANS) one.spans.shift();
    }
    if (this.lanes.size > MOST_REMEMBERED) this.forgetOldest();
  }

  /** Those that ended longest ago; a tenth more than must go, so that it is not done for each one. */
  forgetOldest() {
    const ends = Array.from(this.lanes, ([key, { spans }]) => [key, spans.at(-1)?.end ?? Infinity]);
    const ended = ends.filter(([, end]) => end < Infinity).sort(([, a], [, b]) => a - b);
    for (const [key] of ended.slice(0, this.lanes.size - 0.9 * MOST_REMEMBERED)) this.lanes.delete(key);
  }

  /** Forget the lanes of a source, or of all: a replay has gone back. */
  forget(source = null) {
    for (const [key, lane] of this.lanes) if (source === null || lane.source === source) this.lanes.delete(key);
  }

  /** Take {feeds: [{name, begin, end, gaps}], marks, held}; what is left out stays. */
  set(state) {
    for (const name of ["feeds", "marks", "held"]) if (Array.isArray(state[name])) this[name] = state[name];
  }

  notify() {
    this.listeners.forEach((listener) => listener());
  }

  /** The newest time of a source; null = of all. */
  newest(source = null) {
    const ends = this.feeds.filter(({ name }) => source === null || name === source).map(({ end }) => end ?? -Infinity);
    return ends.reduce((a, b) => Math.max(a, b), -Infinity);
  }

  /** Return {name, spans: [{start, end, state, look, text}]} of each lane, top to bottom. */
  rows() {
    const lanes = Array.from(this.lanes.values()).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    const closed = lanes.map(({ name, source, spans }) => {
      const newest = this.newest(source);
      return { name, spans: spans.map((span) => ({ ...span, end: span.end ?? Math.max(span.start, newest), lasts: span.end === null })) };
    });
    return [...closed, ...this.feeds.filter(({ begin }) => begin !== null && begin !== undefined).map(feedRow)];
  }
}

function feedRow({ name, begin, end, gaps }) {
  const newest = end ?? begin;
  const open = { start: begin, end: newest, state: "connected", look: "open", text: "", lasts: true };
  const holes = gaps.map((gap) => ({ start: gap.start, end: gap.end ?? newest, state: "nothing received", look: "gap", text: gap.label }));
  return { name: `feed ${name}`, spans: [open, ...holes] };
}

/** The span of a row at a time, the uppermost first; null = none. */
export function spanAt({ spans }, time, near = 0) {
  for (let place = spans.length - 1; place >= 0; place--) {
    if (spans[place].start - near <= time && time <= spans[place].end + near) return spans[place];
  }
  return null;
}

/** @returns {Lanes} with apply(content), setState(state), setVisible(visible), destroy() */
export function createLanes(el, spec, options = {}) {
  return new Lanes(el, spec, options);
}

class Lanes {
  constructor(el, spec, { data = new LaneData(), zoom = new SharedZoom(), ...options }) {
    this.data = data;
    this.zoom = zoom;
    this.windowS = 300;
    el.append(make("p", { class: "tes-sentence", text: QUESTION }));
    this.shell = new Shell(el, spec, { kind: "lanes", paint: () => this.paint(), ...options });
    this.build();
    const repaint = () => this.shell.requestPaint();
    data.listeners.add(repaint);
    const observer = new ResizeObserver(repaint);
    observer.observe(this.shell.body);
    this.cleanups = [
      () => data.listeners.delete(repaint),
      () => observer.disconnect(),
      zoom.watch(repaint),
      watchZone(repaint),
      watchTheme(() => {
        this.theme = null;
        repaint();
      }),
    ];
    repaint();
  }

  build() {
    const words = (seconds) => (Number.isFinite(seconds) ? formatDuration(seconds).replace(/\.0 s$| 0 s$| 0 min$/, (end) => (end === ".0 s" ? " s" : "")) : "all");
    this.window = make(
      "select",
      { "aria-label": "Time window", on: { change: () => this.setWindow(Number(this.window.value)) } },
      WINDOWS.map((seconds) => make("option", { value: seconds, text: words(seconds) })),
    );
    this.window.value = String(this.windowS);
    this.reset = button("Reset zoom", "", undefined, () => this.zoom.set(null));
    this.shell.tools.append(this.window, this.reset);
    this.canvas = make("canvas");
    this.selection = make("div", { class: "tes-lane-selection", hidden: true });
    this.tip = make("div", { class: "tes-tip", role: "note", hidden: true });
    const keys = "Left and right move along the time, plus and minus zoom, 0 shows the whole window.";
    this.stage = make("div", { class: "tes-lane-stage", tabindex: 0, role: "group", "aria-label": `Lanes. ${keys} The list below tells the same in words.` }, [this.canvas, this.selection, this.tip]);
    this.zoneWords = make("p", { class: "tes-zone" });
    this.legend = make("ul", { class: "tes-lane-legend" });
    this.summary = make("summary");
    this.list = make("ul");
    this.now = make("details", { class: "tes-events", on: { toggle: () => this.paintList() } }, [this.summary, this.list]);
    this.shell.body.append(this.stage, this.zoneWords, this.legend, this.now);
    this.listen();
  }

  listen() {
    const { stage } = this;
    let from = null;
    stage.addEventListener("pointermove", (event) => {
      if (from !== null) this.select(from, event);
      this.hover(event);
    });
    stage.addEventListener("pointerleave", () => (this.tip.hidden = true));
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.timeAt(event) === null) return;
      from = event;
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointerup", (event) => {
      const began = from && this.timeAt(from);
      const ended = this.timeAt(event);
      if (from && ended !== null && Math.abs(event.clientX - from.clientX) > 4) this.zoom.set([Math.min(began, ended), Math.max(began, ended)]);
      from = null;
      this.selection.hidden = true;
    });
    stage.addEventListener("pointercancel", () => {
      from = null;
      this.selection.hidden = true;
    });
    stage.addEventListener("dblclick", () => this.zoom.set(null));
    stage.addEventListener("keydown", (event) => this.onKey(event));
    const onWheel = (event) => {
      const time = this.timeAt(event);
      if (!event.ctrlKey || time === null) return;
      event.preventDefault();
      const [begin, end] = this.range();
      this.zoom.set(zoomed([begin, end], event.deltaY < 0 ? 0.8 : 1.25, (time - begin) / (end - begin)));
    };
    stage.addEventListener("wheel", onWheel, { passive: false });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [from, to] = this.range();
    const by = (to - from) * 0.2;
    const acts = {
      ArrowLeft: () => this.zoom.set([from - by, to - by]),
      ArrowRight: () => this.zoom.set([from + by, to + by]),
      "+": () => this.zoom.set(zoomed([from, to], 0.5)),
      "=": () => this.zoom.set(zoomed([from, to], 0.5)),
      "-": () => this.zoom.set(zoomed([from, to], 2)),
      0: () => this.zoom.set(null),
      Escape: () => this.zoom.set(null),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  // What comes in ---------------------------------------------------------------------------------------------------

  /** {replace, changes: {source: [change, …]}} */
  apply({ replace, changes }) {
    if (replace) this.data.forget();
    for (const [source, some] of Object.entries(changes)) this.data.add(source, some);
    this.shell.freshness.tick();
    this.data.notify();
  }

  setState(state) {
    const before = this.data.newest();
    this.data.set(state);
    if (this.data.newest() > before) this.shell.freshness.tick();
    this.shell.setState(state);
    this.data.notify();
  }

  setWindow(seconds) {
    this.windowS = seconds;
    this.zoom.set(null);
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
  }

  destroy() {
    for (const cleanup of this.cleanups) cleanup();
    this.shell.destroy();
  }

  // Painting --------------------------------------------------------------------------------------------------------

  range() {
    if (this.zoom.range) return this.zoom.range;
    const newest = this.data.newest();
    const to = Number.isFinite(newest) ? newest : this.shell.clock();
    const firsts = this.data.feeds.map(({ begin }) => begin ?? Infinity);
    const first = firsts.reduce((a, b) => Math.min(a, b), Infinity);
    const reach = Math.max(Number.isFinite(first) ? to - first : 0, Math.min(SHORTEST_S, this.windowS));
    return [to - Math.min(this.windowS, reach), to];
  }

  get width() {
    return Math.max(200, this.stage.clientWidth);
  }

  get gutter() {
    return this.width < NARROW ? NARROW_GUTTER : GUTTER;
  }

  /** The time under the pointer; null = it is not over the lanes. */
  timeAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - this.gutter) / (box.width - this.gutter);
    const [from, to] = this.range();
    return share < 0 || share > 1 ? null : from + share * (to - from);
  }

  select(from, event) {
    const box = this.stage.getBoundingClientRect();
    const edges = [from.clientX, Math.min(box.right, Math.max(box.left + this.gutter, event.clientX))].sort((a, b) => a - b);
    this.selection.hidden = false;
    this.selection.style.left = `${edges[0] - box.left}px`;
    this.selection.style.width = `${edges[1] - edges[0]}px`;
  }

  /** Say what is under the pointer: the lane, its state, since when, how long, and what is marked there. */
  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = this.drawn?.[Math.floor((event.clientY - box.top) / ROW)];
    const time = this.timeAt(event);
    this.tip.hidden = !row;
    if (!row) return;
    const [from, to] = this.range();
    const near = ((to - from) / this.width) * 3;
    const span = time === null ? null : spanAt(row, time, near);
    const marks = time === null ? [] : this.data.marks.filter(({ t }) => Math.abs(t - time) <= 2 * near);
    const held = time === null ? [] : this.data.held.filter(({ start, end }) => start <= time && time <= (end ?? to));
    const lines = [
      row.name,
      ...(span ? [spanWords(span)] : []),
      ...(span?.text ? [shorten(span.text, 200)] : []),
      ...marks.map(({ label }) => `⚑ ${shorten(String(label), 100)}`),
      ...held.map(({ start, end, place }) => `kernel held ${formatDuration((end ?? to) - start)}${place ? ` in ${place}` : ""}`),
    ];
    this.tip.replaceChildren(...lines.map((text) => make("div", { text })));
    const left = event.clientX - box.left;
    const room = this.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, left + 14))}px`;
    this.tip.style.top = `${event.clientY - box.top + 16}px`;
  }

  paint() {
    this.theme ??= readTheme(this.shell.root);
    const [from, to] = this.range();
    const here = this.data.rows().filter(({ spans }) => spans.some(({ start, end }) => end >= from && start <= to));
    this.drawn = here.slice(0, MOST_LANES);
    enable(this.reset, "Show the whole window again (0)", this.zoom.range ? "" : "The whole window is shown.");
    this.shell.say(this.drawn.length ? (here.length > MOST_LANES ? `${here.length} lanes; the first ${MOST_LANES} are drawn.` : "") : "Nothing has happened yet.");
    this.draw(from, to);
    setText(this.zoneWords, `${formatDates(from, to)} · ${zoneWords(to)}`);
    this.paintLegend();
    setText(this.summary, count(this.drawn.length, "lane"));
    this.paintList();
  }

  draw(from, to) {
    const { width, gutter, canvas, theme } = this;
    const height = this.drawn.length * ROW + AXIS;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const x = (time) => gutter + Math.max(-2, Math.min(width - gutter + 2, ((time - from) / (to - from)) * (width - gutter)));
    const below = height - AXIS;
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    this.drawAxis(ctx, x, from, to, below);
    ctx.save();
    ctx.beginPath();
    ctx.rect(gutter, 0, width - gutter, below);
    ctx.clip();
    for (const { start, end } of this.data.held) {
      ctx.globalAlpha = theme.dark ? 0.28 : 0.14;
      ctx.fillStyle = theme.bad;
      ctx.fillRect(x(start), 0, x(end ?? to) - x(start), below);
    }
    ctx.globalAlpha = 1;
    this.drawn.forEach(({ spans }, place) => {
      for (const span of spans) if (span.end >= from && span.start <= to) this.drawSpan(ctx, span, x, place * ROW + (ROW - BAR) / 2);
    });
    ctx.strokeStyle = theme.accent;
    ctx.setLineDash([3, 3]);
    for (const { t } of this.data.marks) {
      ctx.beginPath();
      ctx.moveTo(x(t), 0);
      ctx.lineTo(x(t), below);
      ctx.stroke();
    }
    ctx.restore();
    ctx.fillStyle = theme.fg;
    ctx.textAlign = "right";
    this.drawn.forEach(({ name }, place) => ctx.fillText(fitted(ctx, name, gutter - 12), gutter - 8, place * ROW + ROW / 2));
  }

  drawAxis(ctx, x, from, to, below) {
    const { theme, width, gutter } = this;
    const times = timeTicks(from, to, (width - gutter) / 84);
    ctx.strokeStyle = theme.grid;
    ctx.fillStyle = theme.quiet;
    ctx.lineWidth = 1;
    ctx.textAlign = "center";
    timeWords(times).forEach((words, place) => {
      const at = Math.round(x(times[place])) + 0.5;
      ctx.beginPath();
      ctx.moveTo(at, 0);
      ctx.lineTo(at, below + 4);
      ctx.stroke();
      const half = ctx.measureText(words).width / 2;
      if (at - half >= 0 && at + half <= width) ctx.fillText(words, at, below + 14);
    });
  }

  drawSpan(ctx, { start, end, look }, x, top) {
    const [left, right] = [x(start), Math.max(x(end), x(start) + 2)];
    paintLook(ctx, this.theme, look, left, top, right - left, BAR);
  }

  /** What the colours and patterns mean, of those that are drawn. */
  paintLegend() {
    const looks = Array.from(new Set(this.drawn.flatMap(({ spans }) => spans.map(({ look }) => look)))).filter((look) => LOOKS[look]);
    const drawn = JSON.stringify([looks, this.theme]);
    if (drawn === this.legendOf) return;
    this.legendOf = drawn;
    const items = looks.map((look) => {
      const swatch = make("canvas", { width: 28, height: 14, "aria-hidden": "true" });
      paintLook(swatch.getContext("2d"), this.theme, look, 0, 0, 28, 14);
      return make("li", {}, [swatch, make("span", { text: LOOKS[look][2] })]);
    });
    this.legend.replaceChildren(...items);
  }

  /** The same in words: each lane, and its state at the end of what is shown. */
  paintList() {
    if (!this.now.open) return;
    const lines = this.drawn.map(({ name, spans }) => `${name}: ${spanWords(spans[spans.length - 1])}`);
    if (lines.join("\n") === this.text) return;
    this.text = lines.join("\n");
    this.list.replaceChildren(...lines.map((text) => make("li", { text: shorten(text, 300) })));
  }
}

function spanWords({ state, start, end, lasts }) {
  return `${state}, ${formatDuration(end - start)}${lasts ? " so far" : ""}, since ${formatTime(start)}`;
}

/** The text, without some of its middle where it is too long: numbers that tell two apart stand at the end. */
function fitted(ctx, text, width) {
  let short = text;
  for (let most = text.length - 1; most > 8 && ctx.measureText(short).width > width; most--) {
    short = `${text.slice(0, most - 6)}…${text.slice(-6)}`;
  }
  return short;
}
