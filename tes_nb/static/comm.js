// What every widget of ours tells the kernel about itself.

import { watchVisible } from "./visible.js";

export const IDLE_SENTENCE = "nobody touched this page for 15 minutes, so nothing is sent; move the mouse or press a key";
const HOLE_MS = 2_000;

/**
 * Tell the kernel that a view is there, whether it is seen, and that it is still there.
 *
 * @param {object} model anywidget's
 * @param {HTMLElement} el
 * @param {{onVisible: (visible: boolean) => void, onIdle: (sentence: string) => void}} handlers
 */
export function connect(model, el, { onVisible, onIdle }) {
  const client = crypto.randomUUID?.() ?? String(Math.random());
  const lastSent = {};
  const send = (message) => {
    if (message.type === "keyframe" && Date.now() - (lastSent.keyframe ?? 0) < HOLE_MS) return;
    lastSent[message.type] = Date.now();
    model.send({ ...message, client });
  };
  let seen = true;
  const changed = ({ visible, idle }) => {
    if (visible && !seen) onVisible(true);
    if (idle) onIdle(IDLE_SENTENCE);
    else if (!visible) onVisible(false);
    seen = visible;
    send({ type: "visible", value: visible, idle });
  };
  send({ type: "hello", origin: location.origin });
  const stop = watchVisible(el, changed, () => send({ type: "alive" }));
  return {
    send,
    close() {
      stop();
      send({ type: "bye" });
    },
  };
}
