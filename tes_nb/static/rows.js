// The rows of a table: stored by key, filtered and sorted. No DOM.

import { columnWords, formatDuration, formatTime, formatValue, inViews } from "./format.js";
import { clockWords } from "./zone.js";

const NUMERIC = new Set(["float64", "int64", "Int64"]);
const UNITS = { bytes: "B", "bytes/s": "B/s", percent: "%", "1/s": "/s", ratio: "" };
const SCALED_UNITS = new Set(["bytes", "bytes/s"]);
const SCALES = [["G", 1e9], ["M", 1e6], ["k", 1e3]];
const MOST_DECIMALS = 3;

/** How a column's cells read, compare and stand. */
export class CellKind {
  /** @param {{name: string, dtype?: string, unit?: string, kind?: string, doc?: string}} column */
  constructor(column) {
    this.column = column;
    this.isTime = column.kind === "time" || String(column.dtype ?? "").startsWith("datetime64");
    this.isNumber = !this.isTime && column.kind !== "label" && NUMERIC.has(column.dtype);
    /** A time of which its age says more than the clock. */
    this.isAge = this.isTime && column.unit === "ago";
    this.decimals = 0;
    const { unit, factor } = inViews(String(column.unit ?? ""));
    /** The unit in which it is shown, and how much of it the column's own unit is. */
    this.unit = unit;
    this.factor = factor;
    this.scale = ["", 1];
  }

  /** What people call it, and its unit, or whose clocks its times are of: the only place where that stands. */
  get title() {
    const unit = this.isAge ? "" : UNITS[this.unit] ?? this.unit;
    const words = this.column.head || columnWords(this.column.name, unit);
    if (this.isTime && !this.isAge) return `${words} [${clockWords()}]`;
    const isPartOfName = words.startsWith(unit); // "minute" need not say "min"
    return unit && this.isNumber && !isPartOfName ? `${words} [${this.scale[0]}${unit}]` : words;
  }

  /** Choose scale and decimals by which these values can be told apart below each other; both only grow. */
  fit(values) {
    if (!this.isNumber) return false;
    const numbers = values.filter((value) => Number.isFinite(value)).map((value) => value * this.factor);
    const most = numbers.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    const scaled = SCALED_UNITS.has(this.unit) ? SCALES.find(([, factor]) => most >= factor) : null;
    const before = `${this.title} ${this.decimals}`;
    if (scaled && scaled[1] > this.scale[1]) [this.scale, this.decimals] = [scaled, 0];
    const exact = this.column.unit ? 3 : 4; // what has no unit, such as a price, is no measurement
    const decimals = numbers.map((value) => (String(Number((value / this.scale[1]).toPrecision(exact))).split(".")[1] ?? "").length);
    this.decimals = decimals.reduce((a, b) => Math.max(a, b), this.decimals);
    if (this.decimals > MOST_DECIMALS) this.decimals = MOST_DECIMALS;
    return before !== `${this.title} ${this.decimals}`;
  }

  /** The text of a cell in a column whose head says the unit. */
  cell(value, now = Date.now() / 1000) {
    if (this.isAge && typeof value === "number") return `${formatDuration(Math.max(0, Math.round(now - value))).replace(".0 ", " ")} ago`;
    if (!this.isNumber || typeof value !== "number" || this.column.words?.[value] !== undefined) return this.text(value);
    const scaled = (value * this.factor) / this.scale[1];
    const plain = Math.abs(scaled) < 1e12 ? scaled.toFixed(this.decimals) : scaled.toExponential(2);
    return Number(plain) === 0 && value !== 0 ? scaled.toPrecision(2) : plain;
  }

  /** The text of a cell; absent is empty. */
  text(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    if (this.column.words?.[value] !== undefined) return this.column.words[value];
    if (this.isTime) return formatTime(Number(value));
    if (this.isNumber && typeof value === "number") return formatValue(value * this.factor, this.unit);
    return String(value);
  }

  /** Order of two present values: numbers by size, all else as text with numbers in it. */
  compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return collator.compare(String(a), String(b));
  }
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** The rows that are there, and those of them that pass the filter, in order. */
export class Rows {
  /** @param {object[]} columns as in a table's description @param {boolean} newestFirst whether later rows stand above */
  constructor(columns, newestFirst = false) {
    this.newestFirst = newestFirst;
    this.kinds = columns.map((column) => new CellKind(column));
    this.byKey = new Map();
    /** The places of columns in which any row had a value. */
    this.filled = new Set();
    this.filter = "";
    this.sort = null;
    this.stale = true;
    this.order = [];
  }

  /** Apply changes: [[key, values], …] and the keys that are gone. replace = these are all there are. */
  apply({ rows = [], gone = [], replace = false }) {
    if (replace) {
      const keys = new Set(rows.map(([key]) => key));
      for (const key of this.byKey.keys()) if (!keys.has(key)) this.byKey.delete(key);
    }
    for (const key of gone) this.byKey.delete(key);
    for (const [key, values] of rows) this.put(String(key), values);
    this.stale = true;
  }

  put(key, values) {
    const row = this.byKey.get(key);
    if (this.filled.size < this.kinds.length) values.forEach((value, place) => (value ?? "") !== "" && this.filled.add(place));
    if (!row) {
      this.byKey.set(key, { key, values, changed: null, version: 0, words: null });
      return;
    }
    const changed = this.kinds.map((_, place) => !Object.is(row.values[place] ?? null, values[place] ?? null));
    if (!changed.includes(true)) return;
    Object.assign(row, { values, changed, words: null, version: row.version + 1 });
  }

  setFilter(text) {
    this.filter = text.trim().toLowerCase();
    this.stale = true;
  }

  /** Sort by a column: ascending, then descending, then as received. */
  turnSort(place) {
    if (this.sort?.place !== place) this.sort = { place, sign: 1 };
    else this.sort = this.sort.sign === 1 ? { place, sign: -1 } : null;
    this.stale = true;
  }

  /** Return the rows that pass the filter, in order. */
  visible() {
    if (!this.stale) return this.order;
    this.stale = false;
    const all = Array.from(this.byKey.values());
    if (this.newestFirst) all.reverse();
    this.order = this.filter ? all.filter((row) => this.words(row).includes(this.filter)) : all;
    if (this.sort) this.order = this.sorted(this.order, this.sort);
    return this.order;
  }

  words(row) {
    row.words ??= this.kinds.map((kind, place) => kind.text(row.values[place])).join("\t").toLowerCase();
    return row.words;
  }

  /** Absent values come last, whichever way round. */
  sorted(rows, { place, sign }) {
    const kind = this.kinds[place];
    const absent = (row) => kind.text(row.values[place]) === "";
    return rows.slice().sort((a, b) => {
      if (absent(a) || absent(b)) return Number(absent(a)) - Number(absent(b));
      return sign * kind.compare(a.values[place], b.values[place]);
    });
  }
}
