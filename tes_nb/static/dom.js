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

/** Rows that exist beyond the edges of what is seen. */
const OVERSCAN = 6;

/** A grid of many rows that scrolls: only the rows on the screen exist as elements. */
export class VirtualList {
  /**
   * @param {object} options
   *   label: what the grid is called; style: a class beside the grid's own; heads: the elements of the head, one a
   *   column, whose classes the cells get; rowPx: the height of a row; rows: so many are seen at once;
   *   isSelected(item); paintRow(row, item, index): put an item into row.cells, row.item being the one there now;
   *   onClick(item), onScroll(), onKey(event)
   */
  constructor({ label, style = "", heads, rowPx, rows, isSelected, paintRow, onClick, onScroll, onKey }) {
    this.rowPx = rowPx;
    this.isSelected = isSelected;
    this.paintRow = paintRow;
    this.onClick = onClick;
    this.cellClasses = heads.map(({ className }) => className);
    this.rows = [];
    /** What stands below a row: {element, height, at: the row's place}; null = nothing does. */
    this.panel = null;
    this.space = make("div", { class: "tes-space", role: "rowgroup" });
    const head = make("div", { class: "tes-row tes-head", role: "row" }, heads);
    this.element = make("div", { class: `tes-grid ${style}`.trim(), role: "grid", tabindex: 0, "aria-label": label }, [
      make("div", { class: "tes-headgroup", role: "rowgroup" }, [head]),
      this.space,
    ]);
    this.rowsShown = rows;
    this.setHeight();
    this.element.addEventListener("scroll", onScroll);
    this.element.addEventListener("keydown", (event) => event.target === this.element && onKey(event));
    this.observer = new ResizeObserver(onScroll);
    this.observer.observe(this.element);
  }

  setHeight() {
    this.element.style.maxHeight = `${(this.rowsShown + 1) * this.rowPx + 4 + (this.panel?.height ?? 0)}px`;
  }

  /** Put an element of that height below the row at this place; null = remove it. */
  setPanel(panel) {
    if (this.panel && this.panel.element !== panel?.element) this.panel.element.remove();
    if (panel && panel.element.parentElement !== this.space) this.space.append(panel.element);
    this.panel = panel;
    this.setHeight();
  }

  /** Paint those of the items that are in view, and a few on either side. */
  paint(items) {
    this.element.setAttribute("aria-rowcount", String(items.length + 1));
    const more = this.panel?.height ?? 0;
    this.space.style.height = `${items.length * this.rowPx + more}px`;
    if (this.panel) {
      this.panel.element.style.transform = `translateY(${(this.panel.at + 1) * this.rowPx}px)`;
      this.panel.element.style.setProperty("--tes-seen", `${this.element.clientWidth}px`);
    }
    const first = Math.max(0, Math.floor((this.element.scrollTop - more) / this.rowPx) - OVERSCAN);
    const last = Math.min(items.length, first + Math.ceil((this.element.clientHeight + more) / this.rowPx) + 2 * OVERSCAN);
    while (this.rows.length < last - first) this.rows.push(this.makeRow());
    for (const row of this.rows.splice(Math.max(0, last - first))) row.element.remove();
    for (let at = first; at < last; at++) this.place(this.rows[at - first], items[at], at);
  }

  makeRow() {
    const cells = this.cellClasses.map((name) => make("div", { class: name, role: "gridcell" }));
    const row = { element: make("div", { class: "tes-row", role: "row" }, cells), cells, item: null };
    row.element.addEventListener("click", () => this.onClick(row.item));
    this.space.append(row.element);
    return row;
  }

  place(row, item, at) {
    const more = this.panel && at > this.panel.at ? this.panel.height : 0;
    row.element.style.transform = `translateY(${at * this.rowPx + more}px)`;
    row.element.setAttribute("aria-rowindex", String(at + 2));
    row.element.setAttribute("aria-selected", String(this.isSelected(item)));
    this.paintRow(row, item, at);
    row.item = item;
  }

  /** How many rows a page key moves by. */
  get pageRows() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.rowPx) - 2);
  }

  /** Scroll so far that the row at this place is in view. */
  reveal(at) {
    const top = at * this.rowPx + (this.panel && at > this.panel.at ? this.panel.height : 0);
    const room = this.element.clientHeight - 2 * this.rowPx;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + room) this.element.scrollTop = top - room;
  }

  destroy() {
    this.observer.disconnect();
  }
}
