// The notebook's chart: an anywidget module. It gets the full ring on each connection, then one append a tick.
//
// Kernel → here:  {type: "append"} with one buffer; {type: "state", state}
// Here → kernel:  {type: "hello", client, origin}; {type: "visible", client, value, idle}; {type: "alive", client};
//                 {type: "keyframe", client} after a hole; {type: "bye", client}

import { createChart } from "./chart.js";
import { ChartFeed } from "./feed.js";
import { connect } from "./comm.js";

const clock = () => Date.now() / 1000;

/** One feed per widget: what came before its first view was there, and for all its views. */
const feeds = new Map();

function feedOf(model) {
  const uid = model.get("uid");
  if (!feeds.has(uid)) feeds.set(uid, new ChartFeed(model.get("spec"), clock));
  return feeds.get(uid);
}

function initialize({ model }) {
  const feed = feedOf(model);
  const take = (content, buffers) => {
    if (content?.type === "append" && buffers?.length) feed.append(buffers[0]);
    else if (content?.type === "state") feed.setState(content.state ?? {});
  };
  const dead = () => {
    feed.honest.lost("the kernel was restarted or has ended", "Run the cell again");
    feed.changed();
  };
  model.on("msg:custom", take);
  model.on("comm_live_update", dead);
  return () => {
    model.off("msg:custom", take);
    model.off("comm_live_update", dead);
    feeds.delete(model.get("uid"));
  };
}

function render({ model, el }) {
  const feed = feedOf(model);
  const chart = createChart(el, model.get("spec"), { feed, clock });
  const link = connect(model, el, {
    onVisible: (visible) => chart.setVisible(visible),
    onIdle: (sentence) => {
      feed.honest.pause(sentence);
      chart.setVisible(false);
    },
  });
  feed.onHole = () => link.send({ type: "keyframe" });
  return () => {
    link.close();
    chart.destroy();
  };
}

export default { initialize, render };
