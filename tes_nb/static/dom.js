// Elements made by hand: text only ever goes through textContent, so that nothing from outside is markup. And whether
// anybody can see one.

const IDLE_MS = 15 * 60_000;
const ALIVE_MS = 20_000;
const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

/**
 * Make an element. `properties` may hold `text`, `on` ({event: handler}), and attributes; `false` and null leave one out.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {(Node | null)[]} [children]
 */
export function make(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter(Boolean));
  return element;
}

/** Set text only where it differs: the browser then has nothing to lay out anew. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button with a visible word. */
export function button(text, title, pressed, on) {
  return make("button", { type: "button", text, title, "aria-pressed": pressed, on: { click: on } });
}

/** Let a control act, or say why it cannot: `why` "" = it can. Its title is what it does, or the reason. */
export function enable(control, does, why) {
  if (control.disabled !== Boolean(why)) control.disabled = Boolean(why);
  if (control.title !== (why || does)) control.title = why || does;
}

/** Let the browser save `blob` under `name`. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = make("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Keys typed into a view are the view's: the notebook around it has commands on single keys. */
export function keepKeys(element) {
  element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

/**
 * Watch `element`; call `changed({visible, idle})` on each change and `alive()` every 20 s while it is visible.
 *
 * Visible: the tab is shown and a part of the element is on the screen. Idle: nobody touched anything for 15 minutes.
 *
 * @returns {() => void} the function that ends it
 */
export function watchVisible(element, changed, alive) {
  let onScreen = false;
  let lastInput = Date.now();
  let state = null;
  const update = () => {
    const idle = Date.now() - lastInput > IDLE_MS;
    const visible = onScreen && document.visibilityState === "visible" && !idle;
    if (state && state.visible === visible && state.idle === idle) return;
    state = { visible, idle };
    changed(state);
  };
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
    update();
  });
  const onInput = () => {
    lastInput = Date.now();
    if (state?.idle) update();
  };
  observer.observe(element);
  document.addEventListener("visibilitychange", update);
  for (const kind of INPUT) document.addEventListener(kind, onInput, { capture: true, passive: true });
  const timer = setInterval(() => {
    update();
    if (state?.visible) alive();
  }, ALIVE_MS);
  return () => {
    observer.disconnect();
    clearInterval(timer);
    document.removeEventListener("visibilitychange", update);
    for (const kind of INPUT) document.removeEventListener(kind, onInput, { capture: true });
  };
}
