// The collector's own page: every source in `GET /api/streams`, decoded by the collector.
//
// The first tabs are the views in `GET /api/views`. No stream is named here but KERNEL, whose tables annotate all charts.

import { Credentials, fetchControls, fetchSources, fetchTrack, fetchViews, FOR_CONTROLS, waitForSources } from "./collector_api.js";
import { ReconnectingSocket, socketUrl } from "./connection.js";
import { Control, ControlBar } from "./control.js";
import { button, make, setText, watchVisible } from "./dom.js";
import { formatTime } from "./format.js";
import { STALE_PERIODS } from "./freshness.js";
import { createInspector } from "./inspector.js";
import { createLanes, LaneData } from "./lanes.js";
import { Scrubber } from "./scrubber.js";
import { GONE, SourceView } from "./source_view.js";
import { createTable } from "./table.js";
import { Tabs } from "./tabs.js";
import { SharedZoom } from "./axes.js";

const KERNEL = "kernel";
/** How often the page asks for the sources: a session may watch another feed at any time. */
const REFRESH_MS = 5_000;
/** How often the page asks what its buttons can do, and where a replay is. */
const CONTROLS_MS = 1_000;
const REPLAY_MS = 300;
/** How often the list of streams is counted anew. */
const STREAMS_MS = 1_000;
const MOST_ANNOTATIONS = 200;
const PLAIN = "Also open the streams' own sockets, which speak plain JSON, so that the browser's DevTools list their messages";
const RESTART = "tes_nb restarted at";
const RESTING = "nobody touched this page for 15 minutes, so nothing is asked for; move the mouse or press a key";

class Page {
  /** @param {object | null} states what the controls can do just now */
  constructor(root, credentials, states) {
    this.root = root;
    this.credentials = credentials;
    this.views = [];
    /** What is said of another collector that took this one's place. */
    this.restart = restartWords();
    this.resting = false;
    this.head = make("span", { class: "tes-detail", role: "status" });
    root.append(make("header", { class: "tes-bar" }, [make("h1", { text: "tes_nb" }), this.head]));
    this.control = new Control(socketUrl(location, null, "/ws/control"), credentials, FOR_CONTROLS);
    this.steers = new (states?.replay ? Scrubber : ControlBar)(root, this.control, () => this.ask());
    this.steers.setStates(states);
    if (states?.replay) fetchTrack(credentials).then((track) => this.steers.setTrack(track));
    setInterval(() => this.ask(), states?.replay ? REPLAY_MS : CONTROLS_MS);
    this.tabs = new Tabs(root, "Views", { address: true });
    /** The first views, by name: {tab, key: which parts it shows}. */
    this.firstViews = new Map();
    this.streamTables = [];
    setInterval(() => this.updateStreamTables(), STREAMS_MS);
    this.zoom = new SharedZoom();
    this.lanes = new LaneData();
    const lanesTab = this.tabs.add("lanes", "Lanes");
    this.lanesView = createLanes(lanesTab.panel, { title: "Lanes", period_s: 1 }, { data: this.lanes, zoom: this.zoom });
    lanesTab.views.push(this.lanesView);
    this.inspectorTab = this.tabs.add("inspector", "Inspector");
    this.plainSockets = [];
    this.plainButton = button("Plain sockets", PLAIN, "false", () => this.setPlain(!this.plainSockets.length));
    this.inspectorTab.panel.append(make("div", { class: "tes-bar" }, [this.plainButton]));
    this.inspector = createInspector(this.inspectorTab.panel, { title: "messages", period_s: 1, can_save: false });
    this.inspectorTab.views.push(this.inspector);
    this.annotations = new PageAnnotations(() => this.views);
    if (location.pathname.includes("/proxy/")) this.restWhenIdle();
  }

  /** Apply the list of sources: those that are new get a tab, those that are gone say so; then the first views. */
  setSources(sources, firstViews) {
    const present = new Set(this.views.map(({ stream }) => stream.name));
    const added = sources.filter(({ name, path }) => path && !present.has(name));
    for (const stream of added) this.add(stream);
    const names = new Set(sources.map(({ name }) => name));
    for (const view of this.views.filter(({ stream, ended }) => !names.has(stream.name) && !ended)) {
      view.ended = true;
      view.end();
    }
    for (const view of firstViews) this.addFirstView(view);
    if (added.length) this.tabs.chooseFromAddress();
    this.onState();
  }

  /** A person's first view: parts of tables, and the list of all streams. Parts that come later are put below. */
  addFirstView({ name, title, question, parts }) {
    if (!this.firstViews.has(name)) {
      const tab = this.tabs.add(name, title, this.tabs.tabs[this.firstViews.size]);
      tab.panel.append(make("p", { class: "tes-sentence", text: question }));
      this.firstViews.set(name, { tab, shown: new Set() });
    }
    const { tab, shown } = this.firstViews.get(name);
    for (const { kind, source, table, columns, spec } of parts) {
      const key = JSON.stringify([kind, source, table, columns]);
      const tables = this.views.find(({ stream }) => stream.name === source)?.tables;
      // the page knows too few lines of all subjects to draw each alone: that is for the notebook
      if (shown.has(key) || (kind !== "streams" && !tables) || (kind === "chart" && spec.follows)) continue;
      shown.add(key);
      if (kind === "streams") this.showStreams(tab, spec);
      else {
        const one = tables.get(table);
        const view = one.show(tab.panel, one.kindOf(kind, spec), columns.length ? columns : one.table.plot, spec, this.zoom);
        if (spec.chooses) view.ask = (message) => this.follow(tab, message.key);
        tab.views.push(view);
      }
    }
  }

  /** A row was chosen: the tables that follow show what has its key, and all again without one. */
  follow(tab, key) {
    for (const view of tab.views) if (view.follows) view.search(key ?? "");
  }

  /** The list of streams: how each is doing, and how much comes. */
  showStreams(tab, spec) {
    const table = createTable(tab.panel, spec);
    table.shell.badge.element.remove(); // it is made here, so it is always true
    this.streamTables.push(table);
    tab.views.push(table);
  }

  updateStreamTables() {
    const rows = this.views.map((view) => [view.stream.name, view.summary()]);
    for (const table of this.streamTables) table.apply({ rows, replace: true });
    this.noteSilence();
    const ofAll = [this.lanesView.shell.freshness, this.inspector.shell.freshness];
    const open = this.views.filter(({ socket }) => socket.state === "OPEN");
    if (!open.length) return ofAll.forEach((freshness) => freshness.setOutage("the collector does not answer", GONE));
    const upstream = open.find(({ playback }) => playback)?.playback ?? null; // a replay's; else there are many
    for (const freshness of ofAll) freshness.setUpstream(upstream);
    if (this.lanesView.shell.visible) this.lanesView.setState({ ...this.annotations.state, upstream, feeds: this.views.map((view) => view.lane()) });
  }

  /** What has no period is late when nothing comes of what the collector makes itself (session/state.py says the same). */
  noteSilence() {
    const now = Date.now() / 1000;
    const beats = this.views.filter(({ stream, upstream, heardAt }) => stream.period_s !== null && !upstream && heardAt);
    const since = beats.reduce((newest, { heardAt }) => Math.max(newest, heardAt), 0);
    const isSilent = beats.length && beats.every(({ stream, heardAt }) => now - heardAt > STALE_PERIODS * stream.period_s);
    const text = `the collector has sent nothing for ${Math.floor(now - since)} s`;
    for (const view of this.views.filter(({ stream, upstream }) => stream.period_s === null && !upstream)) {
      for (const freshness of view.freshnesses()) freshness.setUpstream(isSilent ? { word: "STALE", since, text } : null);
    }
  }

  add(stream) {
    const view = new SourceView(stream, socketUrl(location, null, stream.path), {
      lanes: this.lanes,
      inspect: (messages, payloads) => {
        if (messages.length) view.heardAt = Date.now() / 1000;
        this.inspector.add(messages, payloads);
      },
      onState: () => this.onState(),
      onRestart,
      onBegin: () => stream.period_s === null && this.appear(view),
      onEvent: (event) => this.annotations.onEvent(event),
      credentials: this.credentials,
      control: this.control,
    });
    this.views.push(view);
    if (stream.name === KERNEL) this.annotations.follow(view);
    if (stream.period_s !== null) this.addTab(view);
  }

  /** What is only about events gets its tab with the first one. */
  appear(view) {
    this.addTab(view);
    this.tabs.chooseFromAddress();
  }

  /** All tables of a source: cards or a table for what is now, a chart for what was. */
  addTab({ stream, tables }) {
    const { name, doc, origin, note } = stream;
    const tab = this.tabs.add(name, name, this.inspectorTab);
    tab.panel.append(make("p", { class: "tes-sentence", text: doc ?? "" }));
    const from = [origin ? `Read from ${origin}` : "", note].filter(Boolean).join(" · ");
    if (from) tab.panel.append(make("p", { class: "tes-detail", text: from }));
    for (const table of tables.values()) {
      tab.views.push(table.show(tab.panel, table.nowKind));
      if (table.lineColumns.length) tab.views.push(table.show(tab.panel, "chart", [], {}, this.zoom));
    }
  }

  /** A source's connection changed. */
  onState() {
    const open = this.views.filter(({ socket }) => socket.state === "OPEN").length;
    setText(this.head, `${location.host} · ${open} of ${this.views.length} streams connected${this.restart}`);
    this.inspector.setConnections(this.views.map((view) => view.connection()));
  }

  /** Nothing here reads what comes through them. */
  setPlain(on) {
    for (const socket of this.plainSockets) socket.close();
    const endpoints = on ? this.views.map(({ stream }) => stream.plain).filter(Boolean) : [];
    const handlers = { onText: () => {}, onState: () => {}, greeting: () => this.credentials.greeting() };
    this.plainSockets = endpoints.map(({ port, path }) => new ReconnectingSocket(() => socketUrl(location, port, path), handlers));
    this.plainButton.setAttribute("aria-pressed", String(on));
  }

  /** Behind a hub, traffic keeps an idle server alive: rest while nobody is there. */
  restWhenIdle() {
    const changed = ({ idle }) => {
      if (idle === this.resting) return;
      this.resting = idle;
      for (const view of this.views.filter(({ ended }) => !ended)) idle ? view.rest(RESTING) : view.connect();
      if (idle) this.setPlain(false);
    };
    watchVisible(this.root, changed, () => {});
  }

  /** Whether somebody may look. */
  get isWatched() {
    return !this.resting && document.visibilityState === "visible";
  }

  /** Ask what the controls can do, one question at a time. */
  async ask() {
    if (this.asking || !this.isWatched) return;
    this.asking = true;
    this.steers.setStates(await fetchControls(this.credentials).finally(() => (this.asking = false)));
  }

  /** Ask for the sources. */
  async refresh() {
    if (!this.isWatched) return;
    const sources = await fetchSources(this.credentials);
    if (typeof sources !== "string") this.setSources(sources, await fetchViews(this.credentials));
  }
}

/** Another collector answers at this address: nothing here is its own, so the page begins anew. */
function onRestart() {
  sessionStorage.setItem(RESTART, String(Date.now() / 1000));
  location.reload();
}

/** What a page says that has begun anew; "" = it has not. */
function restartWords() {
  const since = sessionStorage.getItem(RESTART);
  sessionStorage.removeItem(RESTART);
  return since ? ` · another collector since ${formatTime(Number(since))}, what came before is gone` : "";
}

/** What is written over all charts of the page: marks, executed cells, times in which the kernel was held. */
class PageAnnotations {
  /** @param {() => SourceView[]} views all sources on the page */
  constructor(views) {
    this.views = views;
    this.state = { marks: [], cells: [], held: [] };
  }

  /** A mark is put into every source; it is one mark. */
  onEvent(event) {
    if (event.type !== "mark" || this.state.marks.some(({ t }) => t === event.t)) return;
    this.add("marks", { t: event.t, label: event.label });
  }

  /** Take executed cells and held times from the tables of what the kernel reports. */
  follow(view) {
    this.listen(view, "cells", (cell) => ({
      start: cell.start,
      end: cell.start + cell.wall_s,
      label: [`[${cell.number}]`, cell.first_line, cell.place].filter(Boolean).join(" "),
    }));
    this.listen(view, "activity", ({ cell, since }) => (cell === null ? null : { start: since, end: null, label: `[${cell}]` }), "cells");
    this.listen(view, "held", ({ start, seconds, place }) => ({ start, end: start + seconds, label: "", place }));
  }

  /** annotationOf: a row → what is noted of it; null = nothing. */
  listen(view, tableName, annotationOf, name = tableName) {
    const table = view.tables.get(tableName);
    if (!table) return;
    const names = table.table.columns.map((column) => column.name);
    table.listeners.push((rows) => {
      const annotations = rows.map((row) => annotationOf(Object.fromEntries(names.map((column, place) => [column, row[place]]))));
      for (const annotation of annotations.filter(Boolean)) this.add(name, annotation);
    });
  }

  /** A replay that goes back sends them again; of what was going on the end comes later. */
  add(name, annotation) {
    const same = annotation.start === undefined ? undefined : this.state[name].find(({ start }) => start === annotation.start);
    if (same && (same.end !== null || annotation.end === null)) return;
    this.set(name, [...this.state[name].filter((one) => one !== same), annotation].slice(-MOST_ANNOTATIONS));
  }

  set(name, annotations) {
    this.state[name] = annotations;
    for (const { tables } of this.views()) for (const { chartData } of tables.values()) chartData.setState({ [name]: annotations });
  }
}

/** Show a button; resolve when it is pressed. */
function invite(root) {
  return new Promise((resolve) => {
    const give = button("Give the token", "Show the streams", undefined, () => {
      give.remove();
      resolve();
    });
    root.append(give);
  });
}

async function main() {
  const root = document.getElementById("tes");
  const sentence = document.getElementById("tes-sentence");
  const credentials = new Credentials();
  setText(sentence, "");
  const say = (words) => setText(sentence, words || "This collector shows its streams to its owner alone.");
  const sources = await waitForSources(credentials, say, () => invite(root));
  sentence.remove();
  const page = new Page(root, credentials, await fetchControls(credentials));
  page.setSources(sources, await fetchViews(credentials));
  setInterval(() => page.refresh(), REFRESH_MS);
}

main();
