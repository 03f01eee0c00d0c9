// The notebook's tables, cards and inspectors: one anywidget module; the trait `kind` says which it is.
//
// Kernel → here, by kind:
//   (replace: true = this is all there is, sent again after a hello)
//   table      {type: "rows", replace, rows: [[key, [values]], …], gone: [key, …]}
//   cards      {type: "values", replace, rows: [[unixSeconds, [values]], …]}
//   inspector  {type: "messages", replace, items: […]} with a buffer each (empty = not sent along);
//              {type: "payload", id} with one buffer
//   a table with buttons  {type: "token", token}; {type: "answer", id, ok, result | error}
//   each       {type: "state", state: {upstream, sentence, connections}}
// Absent values are null, times Unix seconds. Here → kernel: as in widget.js (hello, visible, alive, bye), and from an
// inspector {type: "payload", id}, {type: "save", ids}. A view that has just been made says hello and needs everything.

import { createCards } from "./cards.js";
import { createInspector } from "./inspector.js";
import { connectView, dispatch, store } from "./comm.js";
import { NotebookControl } from "./control.js";
import { createTable } from "./table.js";

const KINDS = { table: createTable, cards: createCards, inspector: createInspector };

/** What came since the last complete message: a view may be made later than its first messages come. */
const backlogs = new Map();

function initialize({ model }) {
  const backlog = [];
  backlogs.set(model.get("uid"), backlog);
  const onMessage = (content, buffers) => store(backlog, content, buffers);
  model.on("msg:custom", onMessage);
  return () => {
    model.off("msg:custom", onMessage);
    backlogs.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  let comm = null;
  let token = null;
  const spec = model.get("spec");
  const ask = (message) => comm?.send(message);
  const control = spec.control_port ? new NotebookControl(spec.control_port, () => token, ask) : null;
  const view = KINDS[model.get("kind")](el, spec, { ask, control });
  const onMessage = (content, buffers) => {
    if (content?.type === "token") token = content.token;
    else if (content?.type === "answer") control?.onReply(content);
    else dispatch(view, content, buffers);
  };
  const onEnd = () => {
    view.shell.freshness.setOutage("the kernel was restarted or has ended", "Run the cell again");
    view.shell.paintBadge();
  };
  for (const [content, buffers] of backlogs.get(model.get("uid")) ?? []) onMessage(content, buffers);
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onEnd);
  comm = connectView(model, el, {
    onVisible: (visible) => view.setVisible(visible),
    onIdle: (sentence) => {
      view.shell.freshness.suspend(sentence);
      view.setVisible(false);
    },
  });
  return () => {
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", onEnd);
    comm.close();
    view.destroy();
  };
}

export default { initialize, render };
