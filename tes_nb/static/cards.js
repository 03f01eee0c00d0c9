// Cards: the newest values of one table, grouped by the first word of their names, each with a small trend.

import { make, setText } from "./dom.js";
import { formatDuration, formatValue, shorten } from "./format.js";
import { CellKind } from "./rows.js";
import { Shell } from "./shell.js";

const TREND = 60;
const AGES_MS = 1_000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 110;
const HEIGHT = 26;

/** Words that say how something is, in any stream; a word of a state is coloured by them. */
const MOODS = {
  good: ["normal", "healthy", "running", "ok", "idle", "open", "live"],
  warn: ["degraded", "polling", "waiting", "working", "stale", "connecting"],
  bad: ["isolated", "offline", "error", "failed", "terminated", "lost"],
};

export function mood(word) {
  const plain = String(word).toLowerCase();
  return Object.keys(MOODS).find((name) => MOODS[name].includes(plain)) ?? "plain";
}

/**
 * Put cards into `el`.
 *
 * @param {object} spec {title, columns, period_s, silent}
 * @returns {Cards} with update(rows: [[unixSeconds, values], …], replace), setState(state), destroy()
 */
export function createCards(el, spec, options = {}) {
  return new Cards(el, spec, options);
}

/** Group columns by the first word of their names: {word: [{column, short, place}]}, single ones under "". */
export function groupColumns(columns) {
  const firsts = columns.map(({ name }) => name.split("_")[0]);
  const groups = new Map();
  columns.forEach((column, place) => {
    const alone = firsts.filter((first) => first === firsts[place]).length < 2;
    const group = alone ? "" : firsts[place];
    if (!groups.has(group)) groups.set(group, []);
    const short = alone ? column.name : column.name.slice(group.length + 1) || column.name;
    groups.get(group).push({ column, place, short: short.replaceAll("_", " ") });
  });
  return groups;
}

class Cards {
  constructor(el, spec, options) {
    this.columns = spec.columns ?? [];
    this.shell = new Shell(el, spec, { kind: "cards", paint: () => this.paint(), ...options });
    this.items = spec.meters ? this.meters(spec.meters) : [];
    if (!spec.meters) for (const [name, members] of groupColumns(this.columns)) this.shell.body.append(this.card(name || this.shell.title, members));
    this.shell.say("No data yet.");
    this.timer = setInterval(() => this.items.some((item) => item instanceof MeterItem && item.kind.isTime) && this.shell.requestPaint(), AGES_MS);
  }

  card(name, members) {
    const items = members.map((member) => new Item(member));
    this.items.push(...items);
    const list = make("div", { role: "list" }, items.map(({ element }) => element));
    return make("article", { class: "tes-card" }, [make("h4", { text: name }), list]);
  }

  /** A few numbers of a row, each as a bar where it is a share of another one. */
  meters(meters) {
    const placeOf = (name) => this.columns.findIndex((column) => column.name === name);
    const items = meters.map(({ title, column, of }) => new MeterItem(title, this.columns[placeOf(column)], placeOf(column), placeOf(of)));
    this.shell.body.append(make("div", { class: "tes-meters", role: "list" }, items.map(({ element }) => element)));
    return items;
  }

  update(rows, replace = false) {
    if (replace) for (const item of this.items) item.clear();
    if (!rows.length) return this.shell.requestPaint();
    for (const [time, values] of rows) for (const item of this.items) item.push(time, values[item.place], values);
    this.shell.freshness.tick();
    this.shell.say("");
    this.shell.requestPaint();
  }

  paint() {
    for (const item of this.items) item.paint();
    for (const card of this.shell.body.querySelectorAll(".tes-card")) card.hidden = !card.querySelector(".tes-item:not([hidden])");
  }

  setState(state) {
    this.shell.setState(state);
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
  }

  destroy() {
    clearInterval(this.timer);
    this.shell.destroy();
  }
}

/** One number, its name, and its share of another one: "0.36 of 4 cores". */
class MeterItem {
  constructor(title, column, place, whole) {
    this.place = place;
    this.whole = whole;
    this.column = column;
    this.kind = new CellKind(column);
    this.word = make("span", { class: "tes-now", text: "–" });
    this.of = make("span", { class: "tes-of" });
    this.bar = make("span", { class: "tes-bar-part" });
    this.meter = make("span", { class: "tes-meter", hidden: whole < 0 }, [this.bar]);
    const words = make("span", {}, [this.word, this.of]);
    this.element = make("div", { class: "tes-meter-item", role: "listitem" }, [
      make("span", { class: "tes-what", text: title, title: `${column.name}: ${column.doc}` }),
      words,
      this.meter,
    ]);
  }

  clear() {
    this.value = null;
  }

  push(_, value, values) {
    this.value = value;
    this.limit = this.whole < 0 ? null : values[this.whole];
  }

  paint() {
    const absent = this.value === null || this.value === undefined;
    const isLabel = this.column.kind === "label";
    setText(this.word, absent ? (isLabel ? "none" : "–") : isLabel ? `[${this.value}]` : this.kind.text(this.value));
    if (this.kind.isTime) return setText(this.of, absent ? "" : ` · ${formatDuration(Math.max(0, Math.round(Date.now() / 1000 - this.value))).replace(".0", "")}`);
    const share = absent || !(this.limit > 0) ? null : this.value / this.limit;
    setText(this.of, share === null ? "" : ` of ${formatValue(this.limit, this.column.unit)}`);
    this.meter.hidden = share === null;
    if (share === null) return;
    this.bar.style.width = `${Math.min(100, 100 * share).toFixed(1)}%`;
    this.bar.dataset.mood = share > 0.9 ? "bad" : share > 0.75 ? "warn" : "plain";
  }
}

class Item {
  constructor({ column, place, short }) {
    this.column = column;
    this.place = place;
    this.kind = new CellKind(column);
    this.unit = column.kind === "counter" ? `${column.unit || ""}/s` : column.unit;
    this.trend = [];
    this.before = null;
    this.value = null;
    this.spark = this.kind.isNumber ? new Sparkline(short) : null;
    this.word = make("span", { class: "tes-now", text: "–" });
    const name = make("span", { class: "tes-what", text: short, title: column.doc || column.name });
    const trend = this.spark && make("span", { class: "tes-trend" }, [this.spark.element]);
    this.element = make("div", { class: "tes-item", role: "listitem", hidden: true }, [name, this.word, trend]);
  }

  clear() {
    this.trend = [];
    this.before = null;
  }

  push(time, value) {
    const number = typeof value === "number" ? value : NaN;
    this.value = value;
    if (this.column.kind === "counter") {
      const growth = this.before && time > this.before[0] ? (number - this.before[1]) / (time - this.before[0]) : NaN;
      this.trend.push(growth >= 0 ? growth : NaN);
      this.before = [time, number];
    } else {
      this.trend.push(number);
    }
    if (this.trend.length > TREND) this.trend.shift();
  }

  /** What never had a value shows nothing at all. */
  paint() {
    const absent = this.value === null || this.value === undefined;
    if (absent && this.element.hidden) return;
    this.element.hidden = false;
    setText(this.word, absent ? "–" : shorten(this.words(), 120));
    if (!this.kind.isNumber && !this.kind.isTime) this.word.dataset.mood = mood(this.kind.text(this.value));
    this.spark?.draw(this.trend);
  }

  words() {
    if (this.column.kind !== "counter") return this.kind.text(this.value);
    const rate = this.trend[this.trend.length - 1];
    const total = formatValue(this.value, this.column.unit);
    return Number.isFinite(rate) ? `${total} · ${formatValue(rate, this.unit)}` : total;
  }
}

/** A trend the size of a word, as SVG. */
class Sparkline {
  constructor(label) {
    this.element = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ class: "tes-spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" })) {
      this.element.setAttribute(name, value);
    }
    this.element.setAttribute("aria-label", `Trend of ${label}`);
    this.path = document.createElementNS(SVG, "path");
    this.element.append(this.path);
  }

  /** Draw these values, oldest first; what is no number breaks the line. */
  draw(values) {
    this.path.setAttribute("d", sparkPath(values));
  }
}

/** Return the SVG path of a trend between its smallest and largest value. */
export function sparkPath(values) {
  const numbers = values.filter(isDrawable);
  if (numbers.length === 0) return "";
  const low = numbers.reduce((a, b) => Math.min(a, b));
  const high = numbers.reduce((a, b) => Math.max(a, b));
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const y = (value) => (high === low ? HEIGHT / 2 : HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4));
  let pen = "M";
  return values
    .map((value, place) => {
      if (!isDrawable(value)) {
        pen = "M";
        return "";
      }
      const point = `${pen}${(place * step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return point;
    })
    .join("");
}

function isDrawable(value) {
  return Number.isFinite(value) && Math.abs(value) <= 1e300;
}
