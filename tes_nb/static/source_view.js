// One source on the page: its socket, the feeds of its tables, and the state of the connection behind it.

import { readPlain, readRows } from "./readings.js";
import { Reconnecting } from "./connection.js";
import { askHistory } from "./sources.js";
import { TableFeed } from "./tablefeed.js";

const GONE = "Start the session again (tes.start()), or tes-nb serve; this page connects by itself";
const MOST_NOTES = 200;
const HISTORY = 50;
const NOT_YET = { state: "CONNECTING", attempts: 0, reconnects: 0, closeCode: null, history: [], openedAt: null, close() {} };

export class StreamViews {
  /**
   * @param {object} stream as `GET /api/streams` tells it
   * @param {string} url its WebSocket
   * @param {{inspect: (messages: object[], payloads: Uint8Array[]) => void, onState: (views: StreamViews) => void,
   *   onBegin: (views: StreamViews) => void, onEvent: (event: object, views: StreamViews) => void, credentials: import("./collector_api.js").Credentials}} given
   */
  constructor(stream, url, given) {
    this.stream = stream;
    this.url = url;
    this.given = given;
    this.read = stream.form === "rows" ? readRows : readPlain;
    this.tables = new Map(stream.tables.map((table) => [table.name, new TableFeed(stream, table)]));
    this.count = 0;
    this.lastSeq = null;
    this.skipped = 0;
    this.gaps = [];
    /** How often a replay went back; null = this is none. */
    this.round = null;
    /** The upstream's state as the collector tells it; null = the collector makes the source itself. */
    this.upstream = null;
    this.upstreamHistory = [];
    this.socket = NOT_YET;
    this.stopped = false;
    this.begin();
  }

  /** A source that tells only of now begins with what the collector remembers; a decoded one brings it along. */
  async begin() {
    if (this.stream.form === "plain") {
      for (const { rows, t } of await askHistory(this.stream.name, this.given.credentials)) this.fill(rows, t);
      for (const freshness of this.freshnesses()) freshness.lastTick = null;
    }
    if (!this.stopped) this.connect();
  }

  connect() {
    this.stopped = false;
    const { credentials } = this.given;
    this.socket = new Reconnecting(() => this.address(), {
      onText: (text) => this.take(text),
      onState: () => this.turned(),
      greeting: () => credentials.greeting(),
      onRefused: () => credentials.forget(),
    });
  }

  /** After a loss a decoded source goes on where it was. */
  address() {
    return this.lastSeq === null ? this.url : `${this.url}?after=${this.lastSeq}`;
  }

  /** Connect no more, and say why; `connect` begins again. */
  rest(sentence) {
    this.stopped = true;
    this.socket.close();
    for (const freshness of this.freshnesses()) freshness.suspend(sentence);
  }

  /** The source is gone from the collector: what came stays, and says that no more comes. */
  end() {
    this.stopped = true;
    this.socket.close();
    this.setUpstream({ word: "CLOSED", text: "this feed was ended" });
  }

  take(text) {
    const { messages, events } = this.read(text, this.stream, Date.now() / 1000);
    for (const event of events) this.event(event);
    for (const { shown } of messages) shown.id = `${this.stream.name} ${++this.count}`;
    this.given.inspect(messages.map(({ shown }) => shown), messages.map(({ payload }) => payload));
    const newest = messages.findLast(({ rows }) => Array.from(rows.values()).some((some) => some.length));
    if (newest && !this.began) this.given.onBegin(this);
    this.began ||= Boolean(newest);
    for (const { rows, t, seq } of messages) {
      this.lastSeq = seq ?? this.lastSeq;
      this.fill(rows, t);
    }
    this.judge(newest);
  }

  fill(rows, t) {
    for (const [name, table] of this.tables) if (rows.has(name)) table.take(rows.get(name), t);
  }

  /** A source is alive when any of its tables gets rows; what comes from the collector's memory is as old as it is. */
  judge(newest) {
    for (const freshness of this.freshnesses()) {
      if (newest) freshness.tick(newest.age);
      else freshness.heartbeat();
    }
  }

  event(event) {
    if (event.type === "state") {
      if (event.round !== undefined) this.follow(event.round);
      this.setUpstream(event);
    }
    if (event.type === "gap") this.gap(event);
    else if (event.type === "skipped") this.skipped += event.count;
    this.given.onEvent(event, this);
  }

  setUpstream(state) {
    this.upstream = state;
    this.upstreamHistory = [...this.upstreamHistory.slice(1 - HISTORY), { t: state.since ?? Date.now() / 1000, text: state.text }];
    for (const freshness of this.freshnesses()) freshness.setUpstream(state);
    for (const table of this.tables.values()) table.chartData.notify();
    this.given.onState(this);
  }

  /** A replay that went back tells its rows again: those that are here lie ahead of it. */
  follow(round) {
    if (this.round !== null && round !== this.round) {
      this.gaps = [];
      for (const table of this.tables.values()) table.clear();
    }
    this.round = round;
  }

  /** A gap is told when it opens and again when it ends. */
  gap(told) {
    this.gaps = [...this.gaps.filter(({ start }) => start !== told.start), told].slice(-MOST_NOTES);
    for (const table of this.tables.values()) table.chartData.setState({ gaps: this.gaps });
  }

  freshnesses() {
    return Array.from(this.tables.values()).flatMap((table) => table.freshnesses());
  }

  turned() {
    for (const freshness of this.freshnesses()) {
      if (this.socket.state === "OPEN") freshness.heartbeat();
      else freshness.setOutage("the collector does not answer", GONE);
    }
    for (const table of this.tables.values()) table.chartData.notify();
    this.given.onState(this);
  }

  /** As an inspector shows it: the connection to the peer where there is one, else that to the collector. */
  connection() {
    const { state, attempts, reconnects, closeCode, history, openedAt } = this.socket;
    const told = this.upstream;
    if (told && state === "OPEN") {
      const { word, text, since, close_code } = told;
      const where = [text, this.stream.origin, this.skipped ? `${this.skipped} messages not shown` : ""].filter(Boolean).join(" · ");
      const counts = { attempts: told.attempts, reconnects: told.reconnects };
      return { name: this.stream.name, state: word, text: where, close_code, since, history: this.upstreamHistory, ...counts };
    }
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
