// The collector's own page: every source that `GET /api/streams` tells of, straight from its socket.
//
// No stream is named here but in OVERVIEW, which only chooses what the first tab shows of those it knows, and KERNEL,
// whose tables annotate all charts.

import { Control } from "./control.js";
import { Controls } from "./controls.js";
import { Credentials, FOR_CONTROLS } from "./collector_api.js";
import { button, make, setText } from "./dom.js";
import { createInspector } from "./inspector.js";
import { PageNotes } from "./pagenotes.js";
import { socketUrl } from "./connection.js";
import { AGAIN_MS, askSources, firstSources } from "./sources.js";
import { StreamViews } from "./source_view.js";
import { Tabs } from "./tabs.js";
import { watchVisible } from "./visible.js";

const OVERVIEW = { status: "cards", metrics: "chart", workers: "table" };
const KERNEL = "kernel";
const RESTING = "nobody touched this page for 15 minutes, so nothing is asked for; move the mouse or press a key";

class Page {
  constructor(root, credentials) {
    this.root = root;
    this.credentials = credentials;
    this.views = [];
    this.resting = false;
    this.head = make("span", { class: "tes-detail", role: "status" });
    root.append(make("header", { class: "tes-bar" }, [make("h1", { text: "tes_nb" }), this.head]));
    const control = new Control(socketUrl(location, null, "/ws/control"), credentials, FOR_CONTROLS);
    new Controls(root, control);
    this.tabs = new Tabs(root, "Views", { address: true });
    this.overview = this.tabs.add("overview", "Overview");
    this.inspectorTab = this.tabs.add("inspector", "Inspector");
    this.inspector = createInspector(this.inspectorTab.panel, { title: "messages", period_s: 1, can_save: false });
    this.inspectorTab.views.push(this.inspector);
    this.notes = new PageNotes(() => this.views);
    if (location.pathname.includes("/proxy/")) this.restWhenIdle();
  }

  /** Take the list of sources: those that are new get a tab, those that are gone say so. */
  take(sources) {
    const known = new Set(this.views.map(({ stream }) => stream.name));
    const added = sources.filter(({ name, path, port }) => path && port && !known.has(name));
    for (const stream of added) this.add(stream);
    const there = new Set(sources.map(({ name }) => name));
    for (const views of this.views.filter(({ stream, ended }) => !there.has(stream.name) && !ended)) {
      views.ended = true;
      views.end();
    }
    if (added.length) this.tabs.chooseFromAddress();
    this.turned();
  }

  add(stream) {
    const views = new StreamViews(stream, socketUrl(location, stream.port, stream.path), {
      inspect: (messages, payloads) => this.inspector.add(messages, payloads),
      onState: () => this.turned(),
      onBegin: (begun) => stream.period_s === null && this.appear(begun),
      onEvent: (event) => this.notes.event(event),
      credentials: this.credentials,
    });
    this.views.push(views);
    if (stream.name === KERNEL) this.notes.follow(views);
    else this.show(this.overview, views);
    if (stream.period_s !== null) this.ownTab(views);
  }

  /** What only tells of events gets its tab with the first one. */
  appear(views) {
    this.ownTab(views);
    this.tabs.chooseFromAddress();
  }

  /** What the first tab shows of a source. */
  show(tab, views) {
    const main = views.tables.get(views.stream.main);
    const kind = OVERVIEW[views.stream.stream ?? views.stream.name] ?? (main.keyed ? "table" : "chart");
    tab.views.push(main.show(tab.panel, kind, main.table.plot));
  }

  /** All tables of a source: cards or a table for what is now, a chart for what was. */
  ownTab(views) {
    const { name, doc, origin, note } = views.stream;
    const tab = this.tabs.add(name, name, this.inspectorTab);
    tab.panel.append(make("p", { class: "tes-sentence", text: doc ?? "" }));
    const from = [origin ? `Read from ${origin}` : "", note].filter(Boolean).join(" · ");
    if (from) tab.panel.append(make("p", { class: "tes-detail", text: from }));
    for (const table of views.tables.values()) {
      tab.views.push(table.show(tab.panel, table.nowKind));
      if (table.drawn.length) tab.views.push(table.show(tab.panel, "chart"));
    }
  }

  /** A source's connection changed. */
  turned() {
    const open = this.views.filter(({ socket }) => socket.state === "OPEN").length;
    setText(this.head, `${location.host} · ${open} of ${this.views.length} streams connected`);
    this.inspector.setConnections(this.views.map((views) => views.connection()));
  }

  /** Behind a hub, traffic keeps an idle server alive: rest while nobody is there. */
  restWhenIdle() {
    const changed = ({ idle }) => {
      if (idle === this.resting) return;
      this.resting = idle;
      for (const views of this.views.filter(({ ended }) => !ended)) idle ? views.rest(RESTING) : views.connect();
    };
    watchVisible(this.root, changed, () => {});
  }

  /** Ask for the sources while somebody may look. */
  async again() {
    if (this.resting || document.visibilityState !== "visible") return;
    const told = await askSources(this.credentials);
    if (typeof told !== "string") this.take(told);
  }
}

/** Show a button; resolve when it is pressed. */
function invite(root) {
  return new Promise((resolve) => {
    const asked = button("Give the token", "Show the streams", undefined, () => {
      asked.remove();
      resolve();
    });
    root.append(asked);
  });
}

async function main() {
  const root = document.getElementById("tes");
  const sentence = document.getElementById("tes-sentence");
  const credentials = new Credentials();
  setText(sentence, "");
  const say = (words) => setText(sentence, words || "This collector shows its streams to its owner alone.");
  const sources = await firstSources(credentials, say, () => invite(root));
  sentence.remove();
  const page = new Page(root, credentials);
  page.take(sources);
  setInterval(() => page.again(), AGAIN_MS);
}

main();
