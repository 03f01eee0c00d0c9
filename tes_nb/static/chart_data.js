// The data of a chart: a growing ring of (time, value) per series, annotations, limits, freshness. No DOM.

import { Annotations, Limits } from "./annotations.js";
import { AppendError, unpack } from "./chart_codec.js";
import { inViews } from "./format.js";
import { Freshness, periodOf } from "./freshness.js";

const FIRST_ROOM = 256;
const MAX_CELLS = 4_000_000;
const MAX_ROWS = 60_000;
const MIN_ROWS = 2_000;

/** The newest `capacity` points of one series, always in one piece of memory. */
export class Ring {
  constructor(capacity = MAX_ROWS) {
    this.capacity = capacity;
    this.times = new Float64Array(0);
    this.values = new Float64Array(0);
    this.start = 0;
    this.end = 0;
    /** Whether a time was ever smaller than the one before it: the clock was set back. */
    this.disordered = false;
  }

  get length() {
    return this.end - this.start;
  }

  get lastTime() {
    return this.length ? this.times[this.end - 1] : -Infinity;
  }

  get lastValue() {
    return this.length ? this.values[this.end - 1] : NaN;
  }

  push(time, value) {
    if (this.end === this.times.length) this.makeRoom();
    if (time < this.lastTime) this.disordered = true;
    this.times[this.end] = time;
    this.values[this.end] = value;
    this.end += 1;
    if (this.length > this.capacity) this.start += 1;
  }

  /** Move to larger memory, or back to the front of the same: at most one copy per `capacity` points. */
  makeRoom() {
    const room = Math.min(Math.max(FIRST_ROOM, 2 * this.length), 2 * this.capacity);
    const move = (from) => {
      const to = new Float64Array(room);
      to.set(from.subarray(this.start, this.end));
      return to;
    };
    this.times = move(this.times);
    this.values = move(this.values);
    this.end -= this.start;
    this.start = 0;
  }

  /** Keep at most so many points from now on. */
  limit(capacity) {
    this.capacity = capacity;
    this.start = Math.max(this.start, this.end - capacity);
  }

  /** Return {times, values} in the order of time, without copying unless the clock was set back. */
  points() {
    const times = this.times.subarray(this.start, this.end);
    const values = this.values.subarray(this.start, this.end);
    if (!this.disordered) return { times, values };
    const order = Uint32Array.from(times, (_, place) => place).sort((a, b) => times[a] - times[b] || a - b);
    return { times: Float64Array.from(order, (at) => times[at]), values: Float64Array.from(order, (at) => values[at]) };
  }
}

/** One line: who it is, and its points. A counter's points are its growth per second. */
export class Series {
  constructor(description, capacity) {
    this.key = String(description.key);
    this.describe(description);
    this.clear(capacity);
  }

  /** Say what it is called: that may change while it is drawn. */
  describe(description) {
    this.column = String(description.column ?? description.key);
    this.label = description.label == null ? "" : String(description.label);
    this.kind = description.kind ?? "gauge";
    const own = String(description.unit ?? "");
    const seen = description.own_unit ? { unit: own, factor: 1 } : inViews(own);
    const [unit, fileUnit] = [seen.unit, own].map((one) => (this.kind === "counter" ? `${one}/s` : one));
    /** The unit in which it is drawn, how much of it the column's own unit is, and that one, for files. */
    Object.assign(this, { unit, factor: seen.factor, fileUnit });
    /** What people call the column, whom it is about, what it measures, and what parts its panel from others. */
    this.title = String(description.title || this.column.replaceAll("_", " "));
    this.subject = String(description.subject ?? this.label);
    this.quantity = String(description.quantity ?? "");
    this.part = String(description.part || (description.own_unit && !this.unit ? baseName(this.subject) : ""));
    this.ownUnit = Boolean(description.own_unit);
    this.doc = String(description.doc ?? "");
    /** The number of the column's colour, the same in every view of its table. */
    this.colour = Number(description.colour ?? -1);
  }

  /** Exact, for files: whom it is about, and the column's name. */
  get name() {
    return this.label ? `${this.label} ${this.column}` : this.column;
  }

  /** What the series of one panel have in common: what they measure, in which unit, of which part. */
  get group() {
    return JSON.stringify([this.quantity, this.unit, this.part]);
  }

  /** "" = no value has come yet, "0" = all were 0, else "1". */
  get extent() {
    if (this.isNonzero) return "1";
    return this.hasValue ? "0" : "";
  }

  clear(capacity = this.ring.capacity) {
    this.ring = new Ring(capacity);
    this.before = null;
    this.hasValue = false;
    this.isNonzero = false;
  }

  /** Add a point. A silence longer than `breakAfter` seconds (null = none is too long) breaks the line. */
  push(time, value, breakAfter) {
    const last = this.ring.lastTime;
    if (breakAfter !== null && time - last > breakAfter && Number.isFinite(last)) {
      this.ring.push(last + breakAfter / 3, NaN);
      this.before = null;
    }
    const drawn = this.kind === "counter" ? this.rate(time, value) : value;
    this.ring.push(time, drawn * this.factor);
    if (drawn === drawn) this.hasValue = true;
    if (drawn) this.isNonzero = true; // NaN is none
  }

  /** Growth per second since the point before; NaN at first, after a restart (it fell) and when time stands still. */
  rate(time, value) {
    const before = this.before;
    this.before = Number.isFinite(value) ? [time, value] : null;
    if (before === null || this.before === null || time <= before[0] || value < before[1]) return NaN;
    return (value - before[1]) / (time - before[0]);
  }
}

/** "val_loss" and "train/loss" → "loss": numbers without a unit that are one quantity of several sets of data. */
export function baseName(name) {
  return name.replace(/^(?:train|training|val|valid|validation|test|eval|dev)[_/. -]+(?=.)/i, "");
}

/** All series of a chart. `structure` changes when series come or go. */
export class SeriesStore {
  constructor({ breakAfter = null } = {}) {
    this.breakAfter = breakAfter;
    this.series = [];
    this.structure = 0;
    this.newest = -Infinity;
    this.byKey = new Map();
  }

  /** Say which series there are, in the order in which they are drawn; present ones keep their points. */
  define(list) {
    const rows = Math.max(MIN_ROWS, Math.min(MAX_ROWS, Math.floor(MAX_CELLS / Math.max(1, list.length))));
    this.series = list.map((description) => {
      const present = this.byKey.get(String(description.key));
      if (!present || present.kind !== (description.kind ?? "gauge")) return new Series(description, rows);
      present.describe(description);
      present.ring.limit(rows);
      return present;
    });
    this.byKey = new Map(this.series.map((series) => [series.key, series]));
    this.structure += 1;
  }

  /** Forget all points; the series stay. */
  clear() {
    for (const series of this.series) series.clear();
    this.newest = -Infinity;
  }

  /** Apply what `unpack` read. */
  apply(append) {
    if (append.keyframe) this.clear();
    if (append.series) this.define(append.series);
    for (const block of append.blocks) this.applyBlock(block);
  }

  applyBlock({ series, times, values }) {
    for (let place = 0; place < series.length; place++) {
      const one = this.series[series[place]];
      if (!one) continue;
      for (let row = 0; row < times.length; row++) one.push(times[row], values[place][row], this.breakAfter);
    }
    this.advance(times);
  }

  /** Add one row: the values of some series at one time. */
  pushRow(time, valuesByKey) {
    for (const [key, value] of valuesByKey) this.byKey.get(key)?.push(time, value, this.breakAfter);
    this.advance([time]);
  }

  /** The newest point is the last that came, also after the clock was set back. */
  advance(times) {
    if (times.length) this.newest = times[times.length - 1];
  }
}

/** What a chart shows, apart from how; several charts may show the same. */
export class ChartData {
  /**
   * @param {object} spec {title, window_s, period_s, break_s, limits, silent}; see `createChart`
   * @param {() => number} clock Unix seconds
   */
  constructor(spec, clock) {
    this.store = new SeriesStore({ breakAfter: spec.break_s ?? null });
    this.annotations = new Annotations();
    this.limits = new Limits(spec.limits);
    this.freshness = new Freshness({ periodS: periodOf(spec), clock, silent: spec.silent ?? "" });
    this.alerts = [];
    this.sentence = "";
    this.sequence = null;
    this.listeners = new Set();
    /** Called when an append was missed and all must be asked for again. */
    this.onHole = () => {};
  }

  /** Apply one binary append. What cannot be read is said in the view; after a hole the next keyframe heals it. */
  append(buffer) {
    let append;
    try {
      append = unpack(buffer);
    } catch (error) {
      if (!(error instanceof AppendError || error instanceof SyntaxError)) throw error;
      this.sentence = error instanceof AppendError ? error.message : "An append of the kernel could not be read.";
      this.notify();
      return;
    }
    if (!append.keyframe && append.sequence !== this.sequence + 1) {
      this.sequence = null;
      this.onHole();
      return;
    }
    this.sequence = append.sequence;
    this.sentence = "";
    this.store.apply(append);
    // the first points may be nothing but a gap, where no data ever came
    const hasData = ({ times, values }) => times.length && (this.freshness.lastTick !== null || values.some((some) => some.some(Number.isFinite)));
    if (append.blocks.some(hasData)) this.freshness.tick();
    else this.freshness.heartbeat();
    this.notify();
  }

  /** Say which series there are: the way of a page that makes its rows itself. */
  define(list) {
    this.store.define(list);
    this.notify();
  }

  /** Add one row: Map of series key → value. */
  pushRow(time, valuesByKey) {
    this.store.pushRow(time, valuesByKey);
    this.freshness.tick();
    this.notify();
  }

  /** Forget all points and gaps. */
  clear() {
    this.store.clear();
    this.setState({ gaps: [] });
  }

  /** Apply parts of the state: {upstream, marks, cells, held, alerts, sentence}; what is left out stays. */
  setState(state) {
    if ("upstream" in state) this.freshness.setUpstream(state.upstream);
    if (Array.isArray(state.alerts)) this.alerts = state.alerts;
    if (typeof state.sentence === "string") this.sentence = state.sentence;
    this.annotations.set(state);
    if (state.rowless) this.freshness.tick();
    else this.freshness.heartbeat();
    this.notify();
  }

  notify() {
    for (const listener of this.listeners) listener();
  }
}
