// One source on the page: its socket, its tables with their views, and the state of the connection behind it.

import { createCards } from "./cards.js";
import { createChart } from "./chart.js";
import { ChartData } from "./chart_data.js";
import { ReconnectingSocket } from "./connection.js";
import { make } from "./dom.js";
import { createTable } from "./table.js";

export const GONE = "Start the session again (tes.start()), or tes-nb serve; this page connects by itself";
const MOST_GAPS = 200;
const HISTORY = 50;
const CREATE = { chart: createChart, table: createTable, cards: createCards };
const LINE_KINDS = new Set(["gauge", "counter"]);
const DEFAULT_WINDOW_S = 300;
const RATE_OVER_S = 2;
const MOST_LINES = 40;
const MOST_KEYS = 10_000;
const MOST_EVENTS = 500;
const encoder = new TextEncoder();

export class SourceView {
  /**
   * @param {object} stream as in `GET /api/streams`
   * @param {string} url its `/ws/rows/…`
   * @param {{inspect: (messages: object[], payloads: Uint8Array[]) => void, onState: (view: SourceView) => void,
   *   onRestart: () => void, onBegin: (view: SourceView) => void, onEvent: (event: object, view: SourceView) => void,
   *   credentials: import("./collector_api.js").Credentials}} options
   */
  constructor(stream, url, options) {
    this.stream = stream;
    this.url = url;
    this.options = options;
    this.tables = new Map(stream.tables.map((table) => [table.name, new SourceTable(stream, table, options.control)]));
    this.count = 0;
    this.lastSeq = null;
    /** Which start of a collector answered; null = none did yet. */
    this.startId = null;
    this.skipped = 0;
    this.gaps = [];
    /** How often a replay went back; null = this is none. */
    this.round = null;
    /** Whether any row came. */
    this.hasRows = false;
    /** The upstream's state as the collector sends it; null = the collector makes the source itself. */
    this.upstream = null;
    /** How a replay goes on, and what was recorded of the upstream; undefined = nothing came. */
    this.playback = this.recorded = undefined;
    this.upstreamHistory = [];
    this.connect();
  }

  connect() {
    const { credentials } = this.options;
    this.socket = new ReconnectingSocket(() => this.address(), {
      onText: (text) => this.onMessage(text),
      onState: () => this.onSocketState(),
      greeting: () => credentials.greeting(),
      onRefused: () => credentials.forget(),
    });
  }

  /** It begins with what the collector remembers; after a loss it goes on where it was. */
  address() {
    if (this.lastSeq === null) return this.url;
    const round = this.round === null ? "" : `&round=${this.round}`;
    return `${this.url}?after=${this.lastSeq}&start=${this.startId}${round}`;
  }

  /** Another collector may have taken the port of one that ended: what came from that one is not shown as this one's. */
  setStart(id) {
    if (this.startId !== null && id !== this.startId) this.options.onRestart();
    this.startId = id;
  }

  /** Connect no more, and say why; `connect` begins again. */
  rest(sentence) {
    this.socket.close();
    for (const freshness of this.freshnesses()) freshness.suspend(sentence);
  }

  /** The source is gone from the collector: what came stays, and says that no more comes. */
  end() {
    this.socket.close();
    this.setUpstream({ word: "CLOSED", text: "this feed was ended" });
  }

  /** Rows and events count in the order in which they come: a replay that goes back begins anew between two of them. */
  onMessage(text) {
    const messages = [];
    const payloads = [];
    let newest = null;
    for (const item of itemsOf(text)) {
      if (item.type !== "message") {
        this.onEvent(item);
        continue;
      }
      const { type, seq, age_s, rows, lanes, text: payload, ...info } = item;
      messages.push({ ...info, id: `${this.stream.name} ${++this.count}` });
      payloads.push(encoder.encode(payload));
      this.lastSeq = seq ?? this.lastSeq;
      this.lastTime = info.t;
      if (Object.values(rows).some((some) => some.length)) {
        if (!this.hasRows) this.options.onBegin(this);
        this.hasRows = true;
      }
      this.beganAt ??= info.t;
      if (lanes?.length) this.options.lanes.add(this.stream.name, lanes);
      newest = item;
      for (const [name, table] of this.tables) if (Object.hasOwn(rows, name)) table.append(rows[name], info.t);
    }
    this.options.inspect(messages, payloads);
    this.updateFreshness(newest);
  }

  /** A source is alive when messages come, with rows in them or not; what comes from the collector's memory is as old as it is. */
  updateFreshness(newest) {
    for (const freshness of this.freshnesses()) {
      if (newest) freshness.tick(newest.age_s);
      else freshness.heartbeat();
    }
    for (const { views } of this.tables.values()) for (const view of views) if (view.apply) view.shell.requestPaint();
  }

  onEvent(event) {
    if (event.type === "state") this.onUpstream(event);
    if (event.type === "start") this.setStart(event.id);
    else if (event.type === "gap") this.onGap(event);
    else if (event.type === "skipped") this.skipped += event.count;
    this.options.onEvent(event, this);
  }

  /** A replay that went back sends its rows again; one that stands still shows nothing new, whatever its peer was doing. */
  onUpstream(event) {
    if (this.round !== null && (event.round ?? this.round) !== this.round) this.clear();
    this.round = event.round ?? this.round;
    this[event.round === undefined ? "recorded" : "playback"] = event;
    const state = (this.playback?.word ?? "OPEN") === "OPEN" ? this.recorded ?? this.playback : this.playback;
    if (state !== this.upstream) this.setUpstream(state);
  }

  setUpstream(state) {
    this.upstream = state;
    this.upstreamHistory = [...this.upstreamHistory.slice(1 - HISTORY), { t: state.since ?? Date.now() / 1000, text: state.text }];
    for (const freshness of this.freshnesses()) freshness.setUpstream(state);
    for (const table of this.tables.values()) table.chartData.notify();
    this.options.onState(this);
  }

  /** Forget what came: rows and gaps. */
  clear() {
    this.gaps = [];
    this.lastSeq = null;
    this.beganAt = this.lastTime = this.recorded = undefined;
    this.options.lanes.forget(this.stream.name);
    for (const table of this.tables.values()) {
      table.clear();
      table.chartData.setState({ gaps: [] });
    }
  }

  /** A gap comes when it opens and again when it ends. */
  onGap(gap) {
    this.gaps = [...this.gaps.filter(({ start }) => start !== gap.start), gap].slice(-MOST_GAPS);
    for (const table of this.tables.values()) table.chartData.setState({ gaps: this.gaps });
  }

  freshnesses() {
    return Array.from(this.tables.values()).flatMap((table) => table.freshnesses());
  }

  onSocketState() {
    for (const freshness of this.freshnesses()) {
      if (this.socket.state === "OPEN") freshness.heartbeat();
      else freshness.setOutage("the collector does not answer", GONE);
    }
    for (const table of this.tables.values()) table.chartData.notify();
    this.options.onState(this);
  }

  /** As the list of streams shows it: name, state, when a message came last, messages a second, messages, gaps. */
  summary() {
    const now = performance.now() / 1000;
    const [since, before] = this.counted ?? [now, this.count];
    if (now - since >= RATE_OVER_S || !this.counted) {
      if (this.counted) this.rate = (this.count - before) / (now - since);
      this.counted = [now, this.count];
    }
    const state = this.socket.state === "OPEN" ? this.upstream?.word ?? "OPEN" : this.socket.state;
    return [this.stream.name, state, this.lastTime ?? null, this.rate ?? null, this.count, this.gaps.length];
  }

  /** As the lanes show it. */
  lane() {
    return { name: this.stream.name, begin: this.beganAt ?? null, end: this.lastTime ?? null, gaps: this.gaps };
  }

  /** As an inspector shows it: the connection to the peer where there is one, else that to the collector. */
  connection() {
    if (this.upstream && this.socket.state === "OPEN") {
      const { word, text, since, close_code, attempts, reconnects } = this.upstream;
      const where = [text, this.stream.origin, this.skipped ? `${this.skipped} messages not shown` : ""].filter(Boolean).join(" · ");
      return { name: this.stream.name, state: word, text: where, close_code, since, history: this.upstreamHistory, attempts, reconnects };
    }
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

/** Return what one message of `/ws/rows/…` carries; [] = it is none. */
function itemsOf(text) {
  try {
    const items = JSON.parse(text)?.items;
    return Array.isArray(items) ? items : [];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return [];
  }
}

/** One table of the source: its newest rows and its lines, shown by any number of views. */
class SourceTable {
  /** @param {object} source as in `GET /api/streams` @param {object} table one of its tables @param {object} control for the buttons of rows */
  constructor(source, table, control) {
    this.source = source;
    this.control = control;
    this.table = table;
    this.periodS = source.period_s ?? Infinity;
    this.isMain = table.name === source.main;
    this.keyed = (table.key ?? []).length > 0;
    /** Rows about events, not about a state: each one is a row of its own. */
    this.events = Boolean(table.events);
    this.keyPlaces = (table.key ?? []).map((name) => table.columns.findIndex((column) => column.name === name));
    this.place = new Map(table.columns.map((column, place) => [column.name, place]));
    this.words = new Map(table.columns.map((column) => [column.name, column.words ?? {}]));
    const lines = table.columns.map((column, place) => ({ column, place })).filter(({ column }) => LINE_KINDS.has(column.kind));
    /** What is drawn of each subject: there may be many, so of those only the columns that are worth it. */
    const drawn = this.keyed && table.plot?.length ? lines.filter(({ column }) => table.plot.includes(column.name)) : lines;
    this.lineColumns = this.events ? [] : drawn;
    this.spec = {
      title: [this.isMain ? source.name : `${source.name} · ${table.name}`, source.note].filter(Boolean).join(" · "),
      columns: [...table.columns, ...(table.moves ?? []).map(({ column }) => column)],
      first: table.first ?? [],
      key: table.key ?? [],
      actions: table.actions ?? [],
      period_s: this.periodS,
      empty: table.empty,
      break_s: this.keyed || !Number.isFinite(this.periodS) ? null : 3 * this.periodS,
      window_s: DEFAULT_WINDOW_S,
    };
    const numbers = table.columns.filter(({ kind }) => LINE_KINDS.has(kind)).map(({ name }) => name);
    /** The column → the number of its colour, as in the notebook's charts (views/subjects.py). */
    this.colours = new Map(Array.from(new Set([...(table.plot ?? []), ...numbers]), (name, place) => [name, place]));
    this.chartData = new ChartData(this.spec, () => Date.now() / 1000);
    this.lines = new Map();
    this.excess = new Set();
    this.keys = new Set();
    /** The first row of each subject, for what has moved since. */
    this.openings = new Map();
    this.count = 0;
    this.views = [];
    /** Called with new rows. */
    this.listeners = [];
    this.containers = [];
    this.isVisible = this.isMain;
    this.hasRows = false;
  }

  /** Append the rows that a message has for this table, in the order of its columns. */
  append(rows, time) {
    if (!rows.length && !this.isVisible) return;
    if (!this.isVisible || (rows.length && !this.hasRows)) this.reveal(rows.length > 0);
    for (const listener of this.listeners) listener(rows);
    this.appendPoints(rows, time);
    const byLabel = rows.map((row) => this.withMoves(this.label(row), row));
    const complete = this.keyed && this.table.complete !== false;
    const gone = complete ? [] : this.forgetOldest(byLabel);
    for (const view of this.views) {
      if (view.apply) view.apply({ rows: byLabel, gone, replace: complete });
      else if (view.update && rows.length) view.update([[time, rows[rows.length - 1]]]);
    }
  }

  /** A row and how far its subject has moved since the first one. */
  withMoves(label, row) {
    if (!this.table.moves?.length) return [label, row];
    if (!this.openings.has(label)) this.openings.set(label, row);
    const opening = this.openings.get(label);
    const isNumber = (place) => typeof row[place] === "number" && typeof opening[place] === "number";
    const moves = this.table.moves.map(({ places }) => {
      const place = places.find(isNumber);
      return place === undefined ? null : Number((row[place] - opening[place]).toFixed(6));
    });
    return [label, [...row, ...moves]];
  }

  /** Forget all rows; the views stay. */
  clear() {
    this.keys.clear();
    this.openings.clear();
    this.chartData.clear();
    for (const view of this.views) {
      if (view.apply) view.apply({ rows: [], gone: [], replace: true });
      else if (view.update) view.update([], true);
    }
  }

  /** A table that a source only derives never gets rows here; its views would stay empty. */
  reveal(hasRows) {
    this.isVisible = true;
    this.hasRows ||= hasRows;
    for (const container of this.containers) container.hidden = false;
  }

  label(row) {
    if (this.events) return String(++this.count);
    return this.keyPlaces.map((place) => row[place] ?? "(none)").join(" · ");
  }

  /** A source may name new subjects for ever; a page keeps the newest. */
  forgetOldest(byLabel) {
    for (const [key] of byLabel) {
      this.keys.delete(key);
      this.keys.add(key);
    }
    const over = this.keys.size - (this.events ? MOST_EVENTS : MOST_KEYS);
    const gone = over > 0 ? Array.from(this.keys).slice(0, over) : [];
    for (const key of gone) {
      this.keys.delete(key);
      this.openings.delete(key);
    }
    return gone;
  }

  appendPoints(rows, time) {
    const values = new Map();
    let grown = false;
    const [about, undrawn] = this.table.undrawn ?? ["", []];
    for (const row of rows) {
      if (undrawn.includes(row[this.place.get(about)])) continue;
      const label = this.keyed ? this.label(row) : "";
      const unit = this.cell(row, this.table.unit_by);
      for (const { column, place } of this.lineColumns) {
        if (row[place] === null) continue;
        const key = `${label}\n${unit}\n${column.name}`;
        if (!this.lines.has(key)) grown = this.admit(key, label, column, row) || grown;
        if (this.lines.has(key)) values.set(key, row[place]);
      }
    }
    if (grown) this.chartData.define(Array.from(this.lines.values()));
    if (values.size) this.chartData.pushRow(time, values);
  }

  /** The text of a row's cell as views show it, "" where there is none. */
  cell(row, name) {
    const value = name ? row[this.place.get(name)] : null;
    return value === null || value === undefined ? "" : String(this.words.get(name)[value] ?? value);
  }

  /** Whom a row is about, in which part of the chart, and the unit of its own (views/subjects.py says the same). */
  subject(row) {
    const { label = this.table.key ?? [], panel_by: panel, unit_by: own } = this.table;
    const names = label.filter((name) => name !== panel && name !== own);
    const subject = Array.from(new Set(names.map((name) => this.cell(row, name)).filter(Boolean))).join(" · ");
    return {
      subject: subject || (names.length ? this.label(row) : ""),
      part: this.cell(row, panel),
      ...(own ? { unit: this.cell(row, own), own_unit: true } : {}),
    };
  }

  admit(key, label, column, row) {
    if (this.lines.size < MOST_LINES) {
      const about = this.keyed ? this.subject(row) : {};
      this.lines.set(key, { ...column, key, label, column: column.name, colour: this.colours.get(column.name), ...about });
      return true;
    }
    if (this.excess.size < MOST_KEYS) this.excess.add(key);
    this.chartData.setState({ sentence: `${this.excess.size} more lines are not drawn; the table shows all.` });
    return false;
  }

  /** The kind of view that a part of a first view asks for, as far as this table has it. */
  kindOf(kind, { meters }) {
    return kind === "chart" || meters ? kind : this.nowKind;
  }

  /** What is now: a table where rows have a subject or are events, else cards. */
  get nowKind() {
    return this.keyed || this.events ? "table" : "cards";
  }

  /**
   * Put a view of this table into `el`: "chart", "table" or "cards". columns: what a chart draws, [] = all there are;
   * more: what is different from the table's own spec.
   */
  show(el, kind, columns = [], more = {}, zoom = undefined) {
    const container = make("div", { class: "tes-view", hidden: more.if_any ? !this.hasRows : !this.isVisible });
    this.containers.push(container);
    el.append(container);
    const spec = { ...this.spec, newest_first: this.events, ...more, drawn: columns };
    const view = CREATE[kind](container, spec, { data: this.chartData, control: this.control, zoom });
    view.shell?.freshness.setUpstream(this.chartData.freshness.upstream);
    this.views.push(view);
    return view;
  }

  freshnesses() {
    return [this.chartData.freshness, ...this.views.flatMap((view) => (view.shell ? [view.shell.freshness] : []))];
  }
}
