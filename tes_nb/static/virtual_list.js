// A grid of many rows that scrolls: only the rows on the screen exist as elements.

import { make } from "./dom.js";

const OVERSCAN = 6;

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
    this.space = make("div", { class: "tes-space", role: "rowgroup" });
    const head = make("div", { class: "tes-row tes-head", role: "row" }, heads);
    this.element = make("div", { class: `tes-grid ${style}`.trim(), role: "grid", tabindex: 0, "aria-label": label }, [
      make("div", { class: "tes-headgroup", role: "rowgroup" }, [head]),
      this.space,
    ]);
    this.element.style.maxHeight = `${(rows + 1) * rowPx + 4}px`;
    this.element.addEventListener("scroll", onScroll);
    this.element.addEventListener("keydown", (event) => event.target === this.element && onKey(event));
    this.observer = new ResizeObserver(onScroll);
    this.observer.observe(this.element);
  }

  /** Paint those of the items that are in view, and a few on either side. */
  paint(items) {
    this.element.setAttribute("aria-rowcount", String(items.length + 1));
    this.space.style.height = `${items.length * this.rowPx}px`;
    const first = Math.max(0, Math.floor(this.element.scrollTop / this.rowPx) - OVERSCAN);
    const last = Math.min(items.length, first + Math.ceil(this.element.clientHeight / this.rowPx) + 2 * OVERSCAN);
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
    row.element.style.transform = `translateY(${at * this.rowPx}px)`;
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
    const top = at * this.rowPx;
    const room = this.element.clientHeight - 2 * this.rowPx;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + room) this.element.scrollTop = top - room;
  }

  destroy() {
    this.observer.disconnect();
  }
}
