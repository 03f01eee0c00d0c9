// The notebook's chart: an anywidget module. It gets the full ring on each connection, then one append a tick.
//
// Kernel → here:  {type: "append"} with one buffer; {type: "state", state}
// Here → kernel:  {type: "hello", client, origin}; {type: "visible", client, value, idle}; {type: "alive", client};
//                 {type: "keyframe", client} after a hole; {type: "bye", client}

import { createChart } from "./chart.js";
import { ChartData } from "./chart_data.js";
import { connectView } from "./comm.js";

const clock = () => Date.now() / 1000;

/** One set of data per widget: what came before its first view was there, and for all its views. */
const dataByUid = new Map();

function dataOf(model) {
  const uid = model.get("uid");
  if (!dataByUid.has(uid)) dataByUid.set(uid, new ChartData(model.get("spec"), clock));
  return dataByUid.get(uid);
}

function initialize({ model }) {
  const data = dataOf(model);
  const onMessage = (content, buffers) => {
    if (content?.type === "append" && buffers?.length) data.append(buffers[0]);
    else if (content?.type === "state") data.setState(content.state ?? {});
  };
  const onEnd = () => {
    data.freshness.setOutage("the kernel was restarted or has ended", "Run the cell again");
    data.notify();
  };
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onEnd);
  return () => {
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", onEnd);
    dataByUid.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  const data = dataOf(model);
  const chart = createChart(el, model.get("spec"), { data, clock });
  const comm = connectView(model, el, {
    onVisible: (visible) => chart.setVisible(visible),
    onIdle: (sentence) => {
      data.freshness.suspend(sentence);
      chart.setVisible(false);
    },
  });
  data.onHole = () => comm.send({ type: "keyframe" });
  return () => {
    comm.close();
    chart.destroy();
  };
}

export default { initialize, render };
