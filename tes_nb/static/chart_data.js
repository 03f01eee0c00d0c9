// What a chart remembers: one growing ring of (time, value) per series. No DOM, no clock.

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
  constructor(told, capacity) {
    this.key = String(told.key);
    this.column = String(told.column ?? told.key);
    this.label = told.label == null ? "" : String(told.label);
    this.kind = told.kind ?? "gauge";
    this.unit = this.kind === "counter" ? `${told.unit || ""}/s` : String(told.unit ?? "");
    this.ring = new Ring(capacity);
    this.before = null;
  }

  get name() {
    return this.label ? `${this.label} ${this.column}` : this.column;
  }

  /** Add a point. A silence longer than `breakAfter` seconds (null = none is too long) breaks the line. */
  push(time, value, breakAfter) {
    const last = this.ring.lastTime;
    if (breakAfter !== null && time - last > breakAfter && Number.isFinite(last)) {
      this.ring.push(last + breakAfter / 3, NaN);
      this.before = null;
    }
    this.ring.push(time, this.kind === "counter" ? this.rate(time, value) : value);
  }

  /** Growth per second since the point before; NaN at first, after a restart (it fell) and when time stands still. */
  rate(time, value) {
    const before = this.before;
    this.before = Number.isFinite(value) ? [time, value] : null;
    if (before === null || this.before === null || time <= before[0] || value < before[1]) return NaN;
    return (value - before[1]) / (time - before[0]);
  }
}

/** All series of a chart. `structure` changes when series come or go, `version` with every change. */
export class SeriesStore {
  constructor({ breakAfter = null, maxRows = MAX_ROWS } = {}) {
    this.breakAfter = breakAfter;
    this.maxRows = maxRows;
    this.series = [];
    this.structure = 0;
    this.version = 0;
    this.newest = -Infinity;
    this.byKey = new Map();
  }

  /** Say which series there are, in the order in which they are drawn; known ones keep their points. */
  define(list) {
    const rows = Math.max(MIN_ROWS, Math.min(this.maxRows, Math.floor(MAX_CELLS / Math.max(1, list.length))));
    this.series = list.map((told) => {
      const known = this.byKey.get(String(told.key));
      if (!known || known.kind !== (told.kind ?? "gauge")) return new Series(told, rows);
      known.ring.limit(rows);
      return known;
    });
    this.byKey = new Map(this.series.map((series) => [series.key, series]));
    this.structure += 1;
    this.version += 1;
  }

  /** Forget all points; the series stay known. */
  clear() {
    for (const series of this.series) {
      series.ring = new Ring(series.ring.capacity);
      series.before = null;
    }
    this.newest = -Infinity;
    this.version += 1;
  }

  /** Take what `unpack` read. */
  take(append) {
    if (append.keyframe) this.clear();
    if (append.series) this.define(append.series);
    for (const block of append.blocks) this.takeBlock(block);
  }

  takeBlock({ series, times, values }) {
    for (let place = 0; place < series.length; place++) {
      const one = this.series[series[place]];
      if (!one) continue;
      for (let row = 0; row < times.length; row++) one.push(times[row], values[place][row], this.breakAfter);
    }
    this.advanced(times);
  }

  /** Add one row: the values of some series at one time. */
  pushRow(time, valuesByKey) {
    for (const [key, value] of valuesByKey) this.byKey.get(key)?.push(time, value, this.breakAfter);
    this.advanced([time]);
  }

  /** The newest point is the last that came, also after the clock was set back. */
  advanced(times) {
    if (times.length) this.newest = times[times.length - 1];
    this.version += 1;
  }
}
