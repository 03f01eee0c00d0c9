// The notebook's tables, cards and inspectors: one anywidget module, told by the trait `kind` which it is.
//
// Kernel → here, by kind:
//   (replace: true = this is all there is, told again after a hello)
//   table      {type: "rows", replace, rows: [[key, [values]], …], gone: [key, …]}
//   cards      {type: "values", replace, rows: [[unixSeconds, [values]], …]}
//   inspector  {type: "messages", replace, items: […]} with a buffer each (empty = not sent along);
//              {type: "payload", id} with one buffer
//   each       {type: "state", state: {upstream, sentence, connections}}
// Absent values are null, times Unix seconds. Here → kernel: as in widget.js (hello, visible, alive, bye), and from an
// inspector {type: "payload", id}, {type: "save", ids}. A view that has just been made says hello and needs everything.

import { createCards } from "./cards.js";
import { createInspector } from "./inspector.js";
import { connect } from "./comm.js";
import { createTable } from "./table.js";
import { keepIn, TAKES } from "./taking.js";

const KINDS = { table: createTable, cards: createCards, inspector: createInspector };

/** What came since the last complete telling: a view may be made later than its first messages come. */
const backlogs = new Map();

function initialize({ model }) {
  const kept = [];
  backlogs.set(model.get("uid"), kept);
  const keep = (content, buffers) => keepIn(kept, content, buffers);
  model.on("msg:custom", keep);
  return () => {
    model.off("msg:custom", keep);
    backlogs.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  let link = null;
  const view = KINDS[model.get("kind")](el, model.get("spec"), { ask: (message) => link?.send(message) });
  const onMessage = (content, buffers) => TAKES[content?.type]?.(view, content, buffers ?? []);
  const onEnd = () => {
    view.shell.freshness.setOutage("the kernel was restarted or has ended", "Run the cell again");
    view.shell.paintBadge();
  };
  for (const [content, buffers] of backlogs.get(model.get("uid")) ?? []) onMessage(content, buffers);
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onEnd);
  link = connect(model, el, {
    onVisible: (visible) => view.setVisible(visible),
    onIdle: (sentence) => {
      view.shell.freshness.suspend(sentence);
      view.setVisible(false);
    },
  });
  return () => {
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", onEnd);
    link.close();
    view.destroy();
  };
}

export default { initialize, render };
