// One stream on the page: its socket, and the views of its tables.

import { createCards } from "./cards.js";
import { createChart } from "./chart.js";
import { make } from "./dom.js";
import { ChartFeed } from "./feed.js";
import { rowsOf, timeOf } from "./flatten.js";
import { Reconnecting } from "./sockets.js";
import { createTable } from "./table.js";

const DRAWN = new Set(["gauge", "counter"]);
const GONE = "Start the session again (tes.start()), or tes-nb serve; this page connects by itself";
const DEFAULT_WINDOW_S = 300;

/** One table of a stream, fed by messages, shown by any number of views. */
class TableFeed {
  constructor(stream, table) {
    this.stream = stream;
    this.table = table;
    this.keyed = (table.key ?? []).length > 0;
    this.keyPlaces = (table.key ?? []).map((name) => table.columns.findIndex((column) => column.name === name));
    this.drawn = table.columns.map((column, place) => ({ column, place })).filter(({ column }) => DRAWN.has(column.kind));
    this.spec = {
      title: table.name === stream.main ? stream.name : `${stream.name} · ${table.name}`,
      columns: table.columns,
      period_s: stream.period_s,
      break_s: this.keyed ? null : 3 * stream.period_s,
      window_s: DEFAULT_WINDOW_S,
    };
    this.feed = new ChartFeed(this.spec, () => Date.now() / 1000);
    this.known = new Map();
    this.views = [];
    this.places = [];
    this.came = table.name === stream.main;
  }

  take(message, time) {
    const rows = rowsOf(message, this.table);
    if (!rows.length && !this.came) return;
    if (!this.came) this.reveal();
    this.chart(rows, time);
    const keyed = rows.map((row) => [this.label(row), row]);
    for (const view of this.views) {
      if (view.apply) view.apply({ rows: keyed, replace: this.table.complete !== false });
      else if (view.update && rows.length) view.update([[time, rows[0]]]);
    }
  }

  /** A table that a stream only derives never comes here; its views would stay empty. */
  reveal() {
    this.came = true;
    for (const place of this.places) place.hidden = false;
  }

  label(row) {
    return this.keyPlaces.map((place) => row[place] ?? "(none)").join(" · ");
  }

  chart(rows, time) {
    const values = new Map();
    let grown = false;
    for (const row of rows) {
      const label = this.keyed ? this.label(row) : "";
      for (const { column, place } of this.drawn) {
        if (row[place] === null) continue;
        const key = `${label}\n${column.name}`;
        if (!this.known.has(key)) grown = Boolean(this.known.set(key, { ...column, key, label, column: column.name }));
        values.set(key, row[place]);
      }
    }
    if (grown) this.feed.define(Array.from(this.known.values()));
    if (values.size) this.feed.pushRow(time, values);
  }

  /** Put a view of this table into `el`: "chart", "table" or "cards". columns: what a chart draws, [] = all there are. */
  show(el, kind, columns = []) {
    const place = make("div", { class: "tes-view", hidden: !this.came });
    this.places.push(place);
    el.append(place);
    const view = { chart: createChart, table: createTable, cards: createCards }[kind](place, { ...this.spec, drawn: columns }, { feed: this.feed });
    this.views.push(view);
    return view;
  }

  honests() {
    return [this.feed.honest, ...this.views.flatMap((view) => (view.shell ? [view.shell.honest] : []))];
  }
}

export class StreamViews {
  /**
   * @param {object} stream as `GET /api/streams` tells it
   * @param {string} url its WebSocket
   * @param {(message: object, payload: Uint8Array) => void} inspect called with each message
   */
  constructor(stream, url, inspect, onState) {
    this.stream = stream;
    this.url = url;
    this.inspect = inspect;
    this.onState = onState;
    this.tables = new Map(stream.tables.map((table) => [table.name, new TableFeed(stream, table)]));
    this.count = 0;
    this.connect();
  }

  connect() {
    this.socket = new Reconnecting(this.url, { onText: (text) => this.take(text), onState: () => this.turned() });
  }

  /** Connect no more, and say why; `connect` begins again. */
  rest(sentence) {
    this.socket.close();
    for (const honest of this.honests()) honest.pause(sentence);
  }

  take(text) {
    const now = Date.now() / 1000;
    const payload = new TextEncoder().encode(text);
    let message = null;
    try {
      message = JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    this.count += 1;
    this.inspect(this.described(message, text, payload.length, now), payload);
    if (message === null) return;
    const time = timeOf(message, now);
    for (const table of this.tables.values()) table.take(message, time);
  }

  described(message, text, size, now) {
    return {
      id: `${this.stream.name} ${this.count}`,
      t: now,
      direction: "in",
      kind: String(message?.type ?? this.stream.name),
      size,
      inflated: size,
      undecoded: message === null,
      outcome: message === null ? `${this.stream.name}: this is no JSON` : this.stream.name,
      preview: text.slice(0, 300),
    };
  }

  honests() {
    return Array.from(this.tables.values()).flatMap((table) => table.honests());
  }

  turned() {
    for (const honest of this.honests()) {
      if (this.socket.state === "OPEN") honest.heard();
      else honest.lost("the collector does not answer", GONE);
    }
    for (const table of this.tables.values()) table.feed.changed();
    this.onState(this);
  }

  /** As an inspector shows it. */
  connection() {
    const { state, attempts, reconnects, closeCode, history, openedAt } = this.socket;
    return {
      name: this.stream.name,
      state,
      text: `${state} · ${this.url}`,
      attempts,
      reconnects: Math.max(0, reconnects),
      close_code: closeCode,
      since: state === "OPEN" ? openedAt / 1000 : null,
      history,
    };
  }
}
