// The notebook's dashboard: an anywidget module with a session's views in tabs, over one comm.
//
// Kernel → here:  as for each kind of view (see widget.js, views.js), with {part: number} beside it;
//                 {type: "state", state: {parts: {number: state}}}; {type: "token", token};
//                 {type: "controls", controls: which can act, null = no answer}; {type: "track", track};
//                 {type: "answer", id, ok, result | error}
// Here → kernel:  as in widget.js; {type: "tab", place}; {part, …} from a view; {type: "control", id, op, args}

import { createCards } from "./cards.js";
import { createChart } from "./chart.js";
import { ChartData } from "./chart_data.js";
import { connectView, dispatch, store } from "./comm.js";
import { ControlBar, NotebookControl } from "./control.js";
import { make } from "./dom.js";
import { createInspector } from "./inspector.js";
import { createLanes } from "./lanes.js";
import { Scrubber } from "./scrubber.js";
import { createTable } from "./table.js";
import { Tabs } from "./tabs.js";
import { setUsualZone } from "./zone.js";
import { SharedZoom } from "./axes.js";

const clock = () => Date.now() / 1000;
const KINDS = { table: createTable, cards: createCards, inspector: createInspector, lanes: createLanes };

/** What came for one part, for any number of views of it. */
class Part {
  constructor({ part, kind, spec }) {
    this.number = part;
    this.kind = kind;
    this.spec = spec;
    this.chart = kind === "chart" ? new ChartData(spec, clock) : null;
    this.backlog = [];
    this.state = {};
    this.views = new Set();
  }

  onMessage(content, buffers) {
    if (this.chart) {
      if (content.type === "append" && buffers.length) this.chart.append(buffers[0]);
      return;
    }
    store(this.backlog, content, buffers);
    for (const view of this.views) dispatch(view, content, buffers);
  }

  setState(state) {
    Object.assign(this.state, state);
    if (this.chart) this.chart.setState(state);
    for (const view of this.views) view.setState(state);
  }

  /** Put a view of this part into `el`. */
  show(el, ask, control, zoom) {
    if (this.chart) return showChart(el, this.spec, this.chart, zoom);
    const view = KINDS[this.kind](el, this.spec, { ask: (message) => ask({ ...message, part: this.number }), control, zoom });
    for (const [content, buffers] of this.backlog) dispatch(view, content, buffers);
    view.setState(this.state);
    this.views.add(view);
    return view;
  }

  hide(view) {
    this.views.delete(view);
    view.destroy();
  }

  freshnesses() {
    return this.chart ? [this.chart.freshness] : Array.from(this.views, (view) => view.shell.freshness);
  }
}

/** A chart that is only seen when there is something to draw, or when a subject is chosen, stays hidden until then. */
function showChart(el, spec, data, zoom) {
  const container = make("div", { class: "tes-view" });
  el.append(container);
  const chart = createChart(container, spec, { data, clock, zoom });
  const reveal = () => (container.hidden = spec.follows ? chart.only === null : Boolean(spec.if_any) && !data.store.series.length);
  data.listeners.add(reveal);
  reveal();
  return chart;
}

/** A row was chosen: the parts that follow show its subject alone, and all again without one. */
function follow(views, key) {
  for (const [{ spec, chart }, view] of views) {
    if (!spec.follows) continue;
    if (chart) {
      view.setOnly(key);
      chart.notify();
    } else {
      view.search(key ?? "");
    }
  }
}

/** What came for the whole widget, since before its first view was there. */
class Dashboard {
  constructor(spec) {
    this.tabs = spec.tabs.map((tab) => ({ ...tab, parts: tab.parts.map((part) => new Part(part)) }));
    this.parts = new Map(this.tabs.flatMap(({ parts }) => parts).map((part) => [part.number, part]));
    this.token = null;
    this.controls = new Set();
    /** Bars of buttons, or scrubbers, and what came for them. */
    this.bars = new Set();
    this.states = undefined;
    this.track = null;
  }

  onMessage(content, buffers) {
    // the kernel speaks: the parts that say nothing just now are not lost
    for (const part of this.parts.values()) for (const freshness of part.freshnesses()) freshness.heartbeat();
    if (content?.part !== undefined) this.parts.get(content.part)?.onMessage(content, buffers ?? []);
    else if (content?.type === "state") this.setState(content.state ?? {});
    else if (content?.type === "token") this.token = content.token;
    else if (content?.type === "controls") this.setStates(content.controls);
    else if (content?.type === "track") this.setTrack(content.track);
    else if (content?.type === "answer") for (const control of this.controls) control.onReply(content);
  }

  setState(state) {
    for (const part of this.parts.values()) if (state.parts?.[part.number]) part.setState(state.parts[part.number]);
  }

  /** Which controls can act, and where a replay is. */
  setStates(states) {
    this.states = states;
    for (const bar of this.bars) bar.setStates(states);
  }

  setTrack(track) {
    this.track = track;
    for (const bar of this.bars) bar.setTrack?.(track);
  }

  show(bar) {
    this.bars.add(bar);
    if (this.states !== undefined) bar.setStates(this.states);
    if (this.track) bar.setTrack?.(this.track);
    return bar;
  }

  setOutage(why, whatToDo) {
    this.setStates(null);
    for (const part of this.parts.values()) for (const freshness of part.freshnesses()) freshness.setOutage(why, whatToDo);
  }

  suspend(sentence) {
    for (const part of this.parts.values()) for (const freshness of part.freshnesses()) freshness.suspend(sentence);
  }
}

const dashboards = new Map();

function dashboardOf(model) {
  const uid = model.get("uid");
  if (!dashboards.has(uid)) dashboards.set(uid, new Dashboard(model.get("spec")));
  return dashboards.get(uid);
}

function initialize({ model }) {
  const dashboard = dashboardOf(model);
  const onMessage = (content, buffers) => dashboard.onMessage(content, buffers);
  const onEnd = () => dashboard.setOutage("the kernel was restarted or has ended", "Run the cell again");
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onEnd);
  return () => {
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", onEnd);
    dashboards.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  const dashboard = dashboardOf(model);
  const spec = model.get("spec");
  let comm = null;
  const ask = (message) => comm?.send(message);
  setUsualZone(spec.tz);
  const root = make("section", { class: "tes tes-dashboard", "aria-label": spec.title });
  el.append(root);
  const control = spec.control_port ? new NotebookControl(spec.control_port, () => dashboard.token, ask) : null;
  if (control) dashboard.controls.add(control);
  const bar = control && dashboard.show(new (spec.replay ? Scrubber : ControlBar)(root, control));
  const open = [];
  const zoom = new SharedZoom();
  const openTab = (tab) => {
    const here = [];
    const askHere = (message) => (message.type === "select" ? follow(here, message.key) : ask(message));
    for (const part of tab.parts.splice(0)) {
      const view = part.show(tab.panel, askHere, spec.replay ? null : control, zoom);
      here.push([part, view]);
      open.push([part, view]);
      tab.views.push(view);
    }
    ask({ type: "tab", place: tab.place });
  };
  const tabs = new Tabs(root, spec.title, { onChoose: openTab });
  dashboard.tabs.forEach(({ title, doc, parts }, place) => {
    const tab = Object.assign(tabs.add(title, title), { place, parts: [...parts] });
    if (doc) tab.panel.append(make("p", { class: "tes-sentence", text: doc }));
  });
  for (const part of dashboard.parts.values()) if (part.chart) part.chart.onHole = () => ask({ type: "keyframe" });
  if (tabs.tabs.length) tabs.choose(tabs.tabs[0]);
  comm = connectView(model, el, {
    onVisible: (visible) => tabs.setVisible(visible),
    onIdle: (sentence) => {
      dashboard.suspend(sentence);
      tabs.setVisible(false);
    },
  });
  return () => {
    comm.close();
    if (control) dashboard.controls.delete(control);
    dashboard.bars.delete(bar);
    bar?.destroy?.();
    for (const [part, view] of open) part.chart ? view.destroy() : part.hide(view);
    root.remove();
  };
}

export default { initialize, render };
