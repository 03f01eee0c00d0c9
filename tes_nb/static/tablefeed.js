// One table of a source on the page: its newest rows and its lines, shown by any number of views.

import { createCards } from "./cards.js";
import { createChart } from "./chart.js";
import { ChartData } from "./chart_data.js";
import { make } from "./dom.js";
import { createTable } from "./table.js";

const DRAWN = new Set(["gauge", "counter"]);
const DEFAULT_WINDOW_S = 300;
const MOST_LINES = 40;
const MOST_KEYS = 10_000;
const MOST_EVENTS = 500;

export class TableFeed {
  /** @param {object} source as `GET /api/streams` tells it @param {object} table one of its tables */
  constructor(source, table) {
    this.source = source;
    this.table = table;
    this.periodS = source.period_s ?? Infinity;
    this.isMain = table.name === source.main;
    this.keyed = (table.key ?? []).length > 0;
    /** Rows that tell of events, not of a state: each one is a row of its own. */
    this.events = !this.keyed && source.form === "rows" && !(this.isMain && Number.isFinite(this.periodS));
    this.keyPlaces = (table.key ?? []).map((name) => table.columns.findIndex((column) => column.name === name));
    this.drawn = this.events ? [] : table.columns.map((column, place) => ({ column, place })).filter(({ column }) => DRAWN.has(column.kind));
    this.spec = {
      title: [this.isMain ? source.name : `${source.name} · ${table.name}`, source.note].filter(Boolean).join(" · "),
      columns: table.columns,
      period_s: this.periodS,
      break_s: this.keyed || !Number.isFinite(this.periodS) ? null : 3 * this.periodS,
      window_s: DEFAULT_WINDOW_S,
    };
    this.chartData = new ChartData(this.spec, () => Date.now() / 1000);
    this.known = new Map();
    this.ignored = new Set();
    this.keys = new Set();
    this.count = 0;
    this.views = [];
    /** Called with new rows. */
    this.listeners = [];
    this.places = [];
    this.came = this.isMain;
  }

  /** Take the rows that a message has for this table, in the order of its columns. */
  take(rows, time) {
    if (!rows.length && !this.came) return;
    if (!this.came) this.reveal();
    for (const listener of this.listeners) listener(rows);
    this.chart(rows, time);
    const labelled = rows.map((row) => [this.label(row), row]);
    const complete = this.keyed && this.table.complete !== false;
    const gone = complete ? [] : this.forgetOldest(labelled);
    for (const view of this.views) {
      if (view.apply) view.apply({ rows: labelled, gone, replace: complete });
      else if (view.update && rows.length) view.update([[time, rows[rows.length - 1]]]);
    }
  }

  /** Forget all rows; the views stay. */
  clear() {
    this.keys.clear();
    this.chartData.clear();
    for (const view of this.views) {
      if (view.apply) view.apply({ rows: [], gone: [], replace: true });
      else if (view.update) view.update([], true);
    }
  }

  /** A table that a source only derives never comes here; its views would stay empty. */
  reveal() {
    this.came = true;
    for (const place of this.places) place.hidden = false;
  }

  label(row) {
    if (this.events) return String(++this.count);
    return this.keyPlaces.map((place) => row[place] ?? "(none)").join(" · ");
  }

  /** A source may name new subjects for ever; a page keeps the newest. */
  forgetOldest(labelled) {
    for (const [key] of labelled) {
      this.keys.delete(key);
      this.keys.add(key);
    }
    const over = this.keys.size - (this.events ? MOST_EVENTS : MOST_KEYS);
    const gone = over > 0 ? Array.from(this.keys).slice(0, over) : [];
    for (const key of gone) this.keys.delete(key);
    return gone;
  }

  chart(rows, time) {
    const values = new Map();
    let grown = false;
    for (const row of rows) {
      const label = this.keyed ? this.label(row) : "";
      for (const { column, place } of this.drawn) {
        if (row[place] === null) continue;
        const key = `${label}\n${column.name}`;
        if (!this.known.has(key)) grown = this.admit(key, label, column) || grown;
        if (this.known.has(key)) values.set(key, row[place]);
      }
    }
    if (grown) this.chartData.define(Array.from(this.known.values()));
    if (values.size) this.chartData.pushRow(time, values);
  }

  admit(key, label, column) {
    if (this.known.size < MOST_LINES) {
      this.known.set(key, { ...column, key, label, column: column.name });
      return true;
    }
    if (this.ignored.size < MOST_KEYS) this.ignored.add(key);
    this.chartData.setState({ sentence: `${this.ignored.size} more lines are not drawn; the table shows all.` });
    return false;
  }

  /** What is now: a table where rows have a subject or tell of events, else cards. */
  get nowKind() {
    return this.keyed || this.events ? "table" : "cards";
  }

  /** Put a view of this table into `el`: "chart", "table" or "cards". columns: what a chart draws, [] = all there are. */
  show(el, kind, columns = []) {
    const place = make("div", { class: "tes-view", hidden: !this.came });
    this.places.push(place);
    el.append(place);
    const view = { chart: createChart, table: createTable, cards: createCards }[kind](place, { ...this.spec, drawn: columns }, { data: this.chartData });
    this.views.push(view);
    return view;
  }

  freshnesses() {
    return [this.chartData.freshness, ...this.views.flatMap((view) => (view.shell ? [view.shell.freshness] : []))];
  }
}
