// A live table: rows updated in place by key; sort, filter, scroll and selection stay; only rows on the screen exist.

import { button, download, make, setText } from "./dom.js";
import { csvCell } from "./exporting.js";
import { count, fileName, shorten } from "./format.js";
import { Rows } from "./rows.js";
import { Shell } from "./shell.js";

const ROW_PX = 26;
const OVERSCAN = 6;
const SAMPLE = 200;
const CELL_CHARS = 200;
const FLASH_MS = 700;
let tables = 0;

/**
 * Put a live table into `el`.
 *
 * @param {HTMLElement} el
 * @param {object} spec {title, columns, period_s, silent, rows_shown}
 * @returns {Table} with apply({rows: [[key, values], …], gone: [key, …], replace}), setState(state), destroy()
 */
export function createTable(el, spec, given = {}) {
  return new Table(el, spec, given);
}

class Table {
  constructor(el, spec, given) {
    this.columns = spec.columns ?? [];
    this.rows = new Rows(this.columns);
    this.shell = new Shell(el, spec, { kind: "table", ...given });
    this.id = `tes-table-${++tables}`;
    this.selected = null;
    this.slots = [];
    this.frame = 0;
    this.height = (spec.rows_shown ?? 12) * ROW_PX;
    this.build();
    this.observer = new ResizeObserver(() => this.requestPaint());
    this.observer.observe(this.scroller);
    this.requestPaint();
  }

  build() {
    this.filter = make("input", { type: "search", placeholder: "Filter", "aria-label": `Filter ${this.shell.title}` });
    this.filter.addEventListener("input", () => {
      this.rows.setFilter(this.filter.value);
      this.requestPaint();
    });
    this.count = make("span", { class: "tes-detail", role: "status" });
    this.shell.tools.append(this.count, this.filter, button("CSV", "Save the rows shown as CSV", undefined, () => this.saveCsv()));
    this.heads = this.columns.map((column, place) => this.head(column, place));
    this.header = make("div", { class: "tes-row tes-head", role: "row" }, this.heads);
    this.space = make("div", { class: "tes-space", role: "rowgroup" });
    this.scroller = make("div", { class: "tes-grid", role: "grid", tabindex: 0, "aria-label": this.shell.title }, [
      make("div", { class: "tes-headgroup", role: "rowgroup" }, [this.header]),
      this.space,
    ]);
    this.scroller.style.maxHeight = `${this.height + ROW_PX + 4}px`;
    this.scroller.addEventListener("scroll", () => this.requestPaint());
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.shell.body.append(this.scroller);
  }

  head(column, place) {
    const words = column.unit ? `${column.name} [${column.unit}]` : column.name;
    const sort = button(words, column.doc || column.name, undefined, () => {
      this.rows.turnSort(place);
      this.requestPaint();
    });
    return make("div", { class: this.cellClass(place), role: "columnheader", "aria-sort": "none" }, [sort]);
  }

  cellClass(place) {
    return this.rows.kinds[place].isNumber ? "tes-cell tes-number" : "tes-cell";
  }

  apply(change) {
    this.rows.apply(change);
    this.shell.freshness.tick();
    this.requestPaint();
  }

  setState(state) {
    this.shell.setState(state);
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
    if (visible) this.requestPaint();
  }

  // Painting ------------------------------------------------------------------------------------------------------

  requestPaint() {
    if (this.frame || !this.shell.visible) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const shown = this.rows.shown();
    const all = this.rows.byKey.size;
    this.setWidths(shown);
    setText(this.count, shown.length === all ? count(all, "row") : `${shown.length} of ${count(all, "row")}`);
    this.shell.say(all ? "" : "No rows yet.");
    this.scroller.setAttribute("aria-rowcount", String(shown.length + 1));
    this.space.style.height = `${shown.length * ROW_PX}px`;
    this.heads.forEach((head, place) => head.setAttribute("aria-sort", this.sortWord(place)));
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - OVERSCAN);
    const last = Math.min(shown.length, first + Math.ceil(this.scroller.clientHeight / ROW_PX) + 2 * OVERSCAN);
    this.fitSlots(last - first);
    for (let at = first; at < last; at++) this.paintRow(this.slots[at - first], shown[at], at);
    this.shell.paintBadge();
  }

  sortWord(place) {
    if (this.rows.sort?.place !== place) return "none";
    return this.rows.sort.sign === 1 ? "ascending" : "descending";
  }

  fitSlots(count) {
    while (this.slots.length < count) this.slots.push(this.slot());
    for (const slot of this.slots.splice(count)) slot.element.remove();
  }

  slot() {
    const cells = this.columns.map((_, place) => make("div", { class: this.cellClass(place), role: "gridcell" }));
    const element = make("div", { class: "tes-row", role: "row" }, cells);
    const slot = { element, cells, key: null, version: -1 };
    element.addEventListener("click", () => this.select(slot.key));
    this.space.append(element);
    return slot;
  }

  paintRow(slot, row, at) {
    const same = slot.key === row.key;
    slot.element.style.transform = `translateY(${at * ROW_PX}px)`;
    slot.element.setAttribute("aria-rowindex", String(at + 2));
    slot.element.setAttribute("aria-selected", String(row.key === this.selected));
    slot.element.id = `${this.id}-${at}`;
    if (row.key === this.selected) this.scroller.setAttribute("aria-activedescendant", slot.element.id);
    if (same && slot.version === row.version) return;
    slot.cells.forEach((cell, place) => {
      const text = shorten(this.rows.kinds[place].text(row.values[place]), CELL_CHARS);
      const differs = cell.textContent !== text;
      if (differs) cell.textContent = text;
      cell.title = text.length > 24 ? text : "";
      if (same && differs && row.changed?.[place]) flash(cell);
      else if (!same) cell.classList.remove("tes-flash");
    });
    slot.key = row.key;
    slot.version = row.version;
  }

  /** Columns are as wide as the first rows need; set once there are some, so that nothing jumps later. */
  setWidths(shown) {
    if (this.widthsOf === Math.min(shown.length, SAMPLE)) return;
    this.widthsOf = Math.min(shown.length, SAMPLE);
    const sample = shown.slice(0, SAMPLE);
    const widths = this.rows.kinds.map((kind, place) => {
      const head = this.heads[place].textContent.length + 3;
      const longest = sample.reduce((most, row) => Math.max(most, kind.text(row.values[place]).length + 1), 4);
      return Math.max(this.widths?.[place] ?? 0, Math.min(Math.max(head, longest), 36));
    });
    this.widths = widths;
    const total = widths.reduce((sum, width) => sum + width, 0);
    this.scroller.style.setProperty("--tes-width", `calc(${total}ch + ${16 * widths.length}px)`);
    this.scroller.style.setProperty("--tes-columns", widths.map((width) => `minmax(calc(${width}ch + 16px), ${width}fr)`).join(" "));
  }

  // What the reader does --------------------------------------------------------------------------------------------

  select(key) {
    this.selected = key;
    this.requestPaint();
  }

  key(event) {
    if (event.target !== this.scroller) return;
    const shown = this.rows.shown();
    const at = shown.findIndex((row) => row.key === this.selected);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity }[event.key];
    if (to === undefined || !shown.length) return;
    event.preventDefault();
    const place = Math.max(0, Math.min(shown.length - 1, to));
    this.selected = shown[place].key;
    this.reveal(place);
    this.requestPaint();
  }

  reveal(place) {
    const top = place * ROW_PX;
    const room = this.scroller.clientHeight - 2 * ROW_PX;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
  }

  csv() {
    const head = this.columns.map(({ name, unit }) => (unit ? `${name} [${unit}]` : name));
    const cells = (row) => row.values.map((value, place) => this.plain(value, place));
    const lines = [head, ...this.rows.shown().map(cells)];
    return lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
  }

  plain(value, place) {
    if (value === null || value === undefined) return "";
    return this.rows.kinds[place].isTime ? new Date(value * 1000).toISOString() : value;
  }

  saveCsv() {
    download(new Blob([this.csv()], { type: "text/csv" }), fileName(this.shell.title, "csv"));
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.shell.destroy();
  }
}

/** Show for a moment that a cell changed; a second change begins it anew. */
function flash(cell) {
  cell.classList.remove("tes-flash");
  void cell.offsetWidth;
  cell.classList.add("tes-flash");
  clearTimeout(cell.flashTimer);
  cell.flashTimer = setTimeout(() => cell.classList.remove("tes-flash"), FLASH_MS);
}
