// The collector's own page: every stream that `GET /api/streams` tells of, straight from its socket.
//
// No stream is named here but in OVERVIEW, which only chooses what the first tab shows of those it knows.

import { Control } from "./control.js";
import { askToken, Controls } from "./controls.js";
import { make, setText } from "./dom.js";
import { createInspector } from "./inspector.js";
import { socketUrl } from "./sockets.js";
import { StreamViews } from "./streamviews.js";
import { Tabs } from "./tabs.js";
import { watchVisible } from "./visible.js";

const OVERVIEW = { status: "cards", metrics: "chart", workers: "table" };
const RETRY_MS = 2_000;
const RESTING = "nobody touched this page for 15 minutes, so nothing is asked for; move the mouse or press a key";

async function fetchStreams(say) {
  for (;;) {
    try {
      const answer = await fetch("api/streams", { headers: { Accept: "application/json" } });
      if (answer.ok) return await answer.json();
      say(`The collector answers ${answer.status} to the list of streams. Trying again.`);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
      say("The collector does not answer: start the session again, or tes-nb serve. Trying again.");
    }
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

class Page {
  constructor(root, streams) {
    this.root = root;
    this.head = make("span", { class: "tes-detail", role: "status" });
    root.append(make("header", { class: "tes-bar" }, [make("h1", { text: "tes_nb" }), this.head]));
    new Controls(root, new Control(socketUrl(location, location.port || 80, "/ws/control"), askToken));
    this.tabs = new Tabs(root, "Views");
    const overview = this.tabs.add("overview", "Overview");
    this.inspected = [];
    const known = streams.filter(({ path, port }) => path && port);
    this.views = known.map((stream) => this.stream(stream));
    for (const views of this.views) this.overview(overview, views);
    for (const views of this.views) this.ownTab(views);
    this.addInspector();
    this.tabs.chooseFromAddress();
    if (location.pathname.includes("/proxy/")) this.restWhenIdle();
    this.turned();
  }

  stream(stream) {
    const inspect = (message, payload) => this.inspector?.add([message], [payload]);
    return new StreamViews(stream, socketUrl(location, stream.port, stream.path), inspect, () => this.turned());
  }

  overview(tab, views) {
    const main = views.tables.get(views.stream.main);
    const kind = OVERVIEW[views.stream.name] ?? (main.keyed ? "table" : "chart");
    tab.views.push(main.show(tab.panel, kind, main.table.plot));
  }

  /** All tables of a stream: cards or a table for what is now, a chart for what was. */
  ownTab(views) {
    const tab = this.tabs.add(views.stream.name, views.stream.name);
    tab.panel.append(make("p", { class: "tes-sentence", text: views.stream.doc ?? "" }));
    for (const table of views.tables.values()) {
      tab.views.push(table.show(tab.panel, table.keyed ? "table" : "cards"));
      if (table.drawn.length) tab.views.push(table.show(tab.panel, "chart"));
    }
  }

  addInspector() {
    const tab = this.tabs.add("inspector", "Inspector");
    this.inspector = createInspector(tab.panel, { title: "messages", period_s: 1, can_save: false });
    tab.views.push(this.inspector);
  }

  /** A stream's connection changed. */
  turned() {
    if (!this.views) return;
    const open = this.views.filter(({ socket }) => socket.state === "OPEN").length;
    setText(this.head, `${location.host} · ${open} of ${this.views.length} streams connected`);
    this.inspector?.setConnections(this.views.map((views) => views.connection()));
  }

  /** Behind a hub, traffic keeps an idle server alive: rest while nobody is there. */
  restWhenIdle() {
    let resting = false;
    const changed = ({ idle }) => {
      if (idle === resting) return;
      resting = idle;
      for (const views of this.views) idle ? views.rest(RESTING) : views.connect();
    };
    watchVisible(this.root, changed, () => {});
  }
}

async function main() {
  const root = document.getElementById("tes");
  const sentence = document.getElementById("tes-sentence");
  const streams = await fetchStreams((words) => setText(sentence, words));
  sentence.remove();
  new Page(root, streams);
}

main();
