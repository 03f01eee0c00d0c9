// Elements made by hand: text only ever goes through textContent, so that nothing from outside is markup.

/**
 * Make an element. `given` may hold `text`, `on` ({event: handler}), and attributes; `false` and null leave one out.
 *
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {(Node | null)[]} [children]
 */
export function make(tag, given = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
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
