// The comm between a widget and the kernel: what each view says of itself, and what it does with a message. Binary parts
// come as views into a larger buffer.

import { watchVisible } from "./dom.js";

const IDLE_SENTENCE = "nobody touched this page for 15 minutes, so nothing is sent; move the mouse or press a key";
const HOLE_MS = 2_000;
/** Messages that are stored for a view that is made later than they come. */
const BACKLOG = 500;

/**
 * Tell the kernel that a view is there, whether it is seen, and that it is still there.
 *
 * @param {{send: (message: object) => void}} model anywidget's, or whatever else has a comm
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
  let wasVisible = true;
  const changed = ({ visible, idle }) => {
    if (visible && !wasVisible) onVisible(true);
    if (idle) onIdle(IDLE_SENTENCE);
    else if (!visible) onVisible(false);
    wasVisible = visible;
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

/** The same for the view of a widget, in whose place a saved notebook has a static picture. */
export function connectView(model, el, handlers) {
  const reveal = hidePicture(model.get("uid"));
  const { send, close } = connect(model, el, handlers);
  return {
    send,
    close() {
      close();
      reveal();
    },
  };
}

/** Hide the static picture below a view, which is for those who cannot run it; return the function that shows it again. */
function hidePicture(uid) {
  const picture = `.tes-picture-${CSS.escape(uid)}`;
  const hiding = new CSSStyleSheet();
  hiding.replaceSync(`${picture}, .jp-OutputArea-child:has(${picture}) { display: none !important; }`);
  document.adoptedStyleSheets.push(hiding); // a strict page lets no <style> in
  return () => (document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== hiding));
}

/** The bytes of a buffer that came with a message; null = it is empty, or there is none. */
function bytesOf(buffer) {
  return buffer?.byteLength ? new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength) : null;
}

const HANDLERS = {
  rows: (view, content) => view.apply(content),
  lanes: (view, content) => view.apply(content),
  values: (view, content) => view.update(content.rows ?? [], content.replace),
  messages: (view, content, buffers) => view.add(content.items ?? [], buffers.map(bytesOf), content.replace),
  payload: (view, content, buffers) => view.payload(content.id, bytesOf(buffers[0])),
  state: (view, content) => view.setState(content.state ?? {}),
};

/** Give a view a message of the kernel; one of an unknown type is left out. */
export function dispatch(view, content, buffers) {
  HANDLERS[content?.type]?.(view, content, buffers ?? []);
}

/** Store a message in the list of those since the last complete one. */
export function store(backlog, content, buffers) {
  if (content?.replace) backlog.length = 0;
  if (backlog.length < BACKLOG) backlog.push([content, buffers]);
}
