// The notebook's dashboard: an anywidget module with a session's views in tabs, over one comm.
//
// Kernel → here:  as for each kind of view (see widget.js, views.js), with {part: number} beside it;
//                 {type: "state", state: {parts: {number: state}}}; {type: "token", token};
//                 {type: "answer", id, ok, result | error}
// Here → kernel:  as in widget.js; {type: "tab", place}; {part, …} from a view; {type: "control", id, op, args}

import { createCards } from "./cards.js";
import { createChart } from "./chart.js";
import { ChartData } from "./chart_data.js";
import { Controls } from "./controls.js";
import { make } from "./dom.js";
import { createInspector } from "./inspector.js";
import { connect } from "./comm.js";
import { createTable } from "./table.js";
import { Tabs } from "./tabs.js";
import { keepIn, TAKES } from "./taking.js";
import { WidgetControl } from "./widgetcontrol.js";

const clock = () => Date.now() / 1000;
const KINDS = { table: createTable, cards: createCards, inspector: createInspector };

/** What came for one part, for any number of views of it. */
class Part {
  constructor({ part, kind, spec }) {
    this.number = part;
    this.kind = kind;
    this.spec = spec;
    this.chart = kind === "chart" ? new ChartData(spec, clock) : null;
    this.kept = [];
    this.state = {};
    this.views = new Set();
  }

  take(content, buffers) {
    if (this.chart) {
      if (content.type === "append" && buffers.length) this.chart.append(buffers[0]);
      return;
    }
    keepIn(this.kept, content, buffers);
    for (const view of this.views) TAKES[content.type]?.(view, content, buffers);
  }

  setState(state) {
    Object.assign(this.state, state);
    if (this.chart) this.chart.setState(state);
    for (const view of this.views) view.setState(state);
  }

  /** Put a view of this part into `el`. */
  show(el, ask) {
    if (this.chart) return createChart(el, this.spec, { data: this.chart, clock });
    const view = KINDS[this.kind](el, this.spec, { ask: (message) => ask({ ...message, part: this.number }) });
    for (const [content, buffers] of this.kept) TAKES[content.type]?.(view, content, buffers);
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

/** What came for the whole widget, since before its first view was there. */
class Board {
  constructor(spec) {
    this.tabs = spec.tabs.map((tab) => ({ ...tab, parts: tab.parts.map((part) => new Part(part)) }));
    this.parts = new Map(this.tabs.flatMap(({ parts }) => parts).map((part) => [part.number, part]));
    this.token = null;
    this.controls = new Set();
  }

  take(content, buffers) {
    if (content?.part !== undefined) this.parts.get(content.part)?.take(content, buffers ?? []);
    else if (content?.type === "state") this.setState(content.state ?? {});
    else if (content?.type === "token") this.token = content.token;
    else if (content?.type === "answer") for (const control of this.controls) control.answered(content);
  }

  /** The kernel speaks: the parts that say nothing just now are not lost. */
  setState(state) {
    for (const part of this.parts.values()) part.setState(state.parts?.[part.number] ?? {});
  }

  lost(why, whatToDo) {
    for (const part of this.parts.values()) for (const freshness of part.freshnesses()) freshness.setOutage(why, whatToDo);
  }

  pause(sentence) {
    for (const part of this.parts.values()) for (const freshness of part.freshnesses()) freshness.suspend(sentence);
  }
}

const boards = new Map();

function boardOf(model) {
  const uid = model.get("uid");
  if (!boards.has(uid)) boards.set(uid, new Board(model.get("spec")));
  return boards.get(uid);
}

function initialize({ model }) {
  const board = boardOf(model);
  const take = (content, buffers) => board.take(content, buffers);
  const dead = () => board.lost("the kernel was restarted or has ended", "Run the cell again");
  model.on("msg:custom", take);
  model.on("comm_live_update", dead);
  return () => {
    model.off("msg:custom", take);
    model.off("comm_live_update", dead);
    boards.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  const board = boardOf(model);
  const spec = model.get("spec");
  let link = null;
  const ask = (message) => link?.send(message);
  const root = make("section", { class: "tes tes-dashboard", "aria-label": spec.title });
  el.append(root);
  const control = spec.control_port ? new WidgetControl(spec.control_port, () => board.token, ask) : null;
  if (control) {
    board.controls.add(control);
    new Controls(root, control);
  }
  const shown = [];
  const open = (tab) => {
    for (const part of tab.parts.splice(0)) {
      const view = part.show(tab.panel, ask);
      shown.push([part, view]);
      tab.views.push(view);
    }
    ask({ type: "tab", place: tab.place });
  };
  const tabs = new Tabs(root, spec.title, { onChoose: open });
  board.tabs.forEach(({ title, doc, parts }, place) => {
    const tab = Object.assign(tabs.add(title, title), { place, parts: [...parts] });
    if (doc) tab.panel.append(make("p", { class: "tes-sentence", text: doc }));
  });
  for (const part of board.parts.values()) if (part.chart) part.chart.onHole = () => ask({ type: "keyframe" });
  tabs.choose(tabs.tabs[0]);
  link = connect(model, el, {
    onVisible: (visible) => tabs.setVisible(visible),
    onIdle: (sentence) => {
      board.pause(sentence);
      tabs.setVisible(false);
    },
  });
  return () => {
    link.close();
    if (control) board.controls.delete(control);
    for (const [part, view] of shown) part.chart ? view.destroy() : part.hide(view);
    root.remove();
  };
}

export default { initialize, render };
