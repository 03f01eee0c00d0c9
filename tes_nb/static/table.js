// A live table: rows updated in place by key; sort, filter, scroll and selection stay.

import { button, download, enable, make, setText, VirtualList } from "./dom.js";
import { csvCell } from "./exporting.js";
import { count, fileName, shorten } from "./format.js";
import { PANEL_PX, RowActions } from "./row_actions.js";
import { Rows } from "./rows.js";
import { Shell } from "./shell.js";
import { isoTime, watchZone, zone } from "./zone.js";

const ROW_PX = 26;
const ROWS = 12;
const SAMPLE = 200;
const CELL_CHARS = 200;
const MOST_CHARS = 27;
const MOST_CHARS_OF_NAME = 44; // the first column says what a row is about
const PADDING_PX = 12;
const FLASH_MS = 700;
const AGES_MS = 1_000;
let tables = 0;

/**
 * Put a live table into `el`.
 *
 * @param {HTMLElement} el
 * @param {object} spec {title, columns, first: names of those shown at first, key, newest_first, period_s, silent, rows_shown}
 * @returns {Table} with apply({rows: [[key, values], …], gone: [key, …], replace}), setState(state), destroy()
 */
export function createTable(el, spec, options = {}) {
  return new Table(el, spec, options);
}

class Table {
  constructor(el, spec, options) {
    this.columns = spec.columns ?? [];
    this.places = this.columns.map((_, place) => place);
    /** The places of the columns shown at first, in the order of their worth. */
    this.first = firstPlaces(this.columns, spec);
    /** What to say where messages came, and listed nothing. */
    this.empty = spec.empty ? `${spec.empty[0].toUpperCase()}${spec.empty.slice(1)}.` : "";
    this.rows = new Rows(this.columns, Boolean(spec.newest_first));
    this.shell = new Shell(el, spec, { kind: "table", paint: () => this.paint(), ...options });
    this.id = `tes-table-${++tables}`;
    this.selected = null;
    const hasActions = options.control && spec.actions?.length;
    /** The buttons of each row; null = there is nobody to ask. */
    this.actions = hasActions ? new RowActions(spec.actions, this.columns, options.control, () => this.shell.requestPaint()) : null;
    this.ifAny = Boolean(spec.if_any);
    /** Whether a click says which row others are to show alone; a second one takes it back. */
    this.chooses = Boolean(spec.chooses);
    this.ask = options.ask;
    this.follows = Boolean(spec.follows);
    this.flashes = spec.flash !== false;
    const bars = new Set(spec.bars ?? []);
    this.bars = new Set(this.places.filter((place) => bars.has(this.columns[place].name)));
    this.largest = new Map();
    this.build(spec.rows_shown ?? ROWS);
    this.shell.requestPaint();
  }

  build(rows) {
    this.filter = make("input", { type: "search", placeholder: "Filter", "aria-label": `Filter ${this.shell.title}` });
    this.filter.addEventListener("input", () => this.search(this.filter.value));
    this.count = make("span", { class: "tes-detail", role: "status" });
    const all = `All ${this.columns.length} columns`;
    this.more = button(all, "Show every column, or the most important ones", "false", () => this.showAll(!this.showsAll));
    this.more.hidden = this.first.length === this.columns.length;
    this.csvButton = button("CSV", "", undefined, () => this.saveCsv());
    this.shell.tools.append(this.count, this.filter, this.more, this.csvButton);
    this.rowsShown = rows;
    this.showAll(false);
    this.unwatchZone = watchZone(() => this.showAll(this.showsAll));
    const isAging = () => this.shell.visible && this.shown.some((place) => this.rows.kinds[place].isAge);
    this.timer = setInterval(() => isAging() && this.refresh(), AGES_MS);
  }

  /** Show all columns, or those that are worth most and in which there is anything. */
  showAll(all) {
    this.showsAll = all;
    this.filled = this.rows.filled.size;
    const isChosen = this.first.length < this.columns.length;
    this.shown = all || !isChosen ? this.first : this.first.filter((place) => this.rows.filled.has(place));
    if (all && isChosen) this.shown = this.places;
    this.more.setAttribute("aria-pressed", String(all));
    this.heads = this.shown.map((place) => this.head(place));
    if (this.actions) this.heads.push(make("div", { class: "tes-cell tes-actions", role: "columnheader", "aria-label": "Buttons" }));
    this.sampleSize = this.widths = null;
    const { scrollTop = 0, scrollLeft = 0 } = this.list?.element ?? {};
    this.list?.destroy();
    this.list?.element.remove();
    this.list = new VirtualList({
      label: this.shell.title,
      heads: this.heads,
      rowPx: ROW_PX,
      rows: this.rowsShown,
      isSelected: ({ key }) => key === this.selected,
      paintRow: (slot, row, at) => this.paintRow(slot, row, at),
      onClick: ({ key }) => this.select(key),
      onScroll: () => this.shell.requestPaint(),
      onKey: (event) => this.onKey(event),
    });
    this.shell.body.append(this.list.element);
    Object.assign(this.list.element, { scrollTop, scrollLeft });
    this.shell.requestPaint();
  }

  head(place) {
    const { name, doc } = this.columns[place];
    const isClock = this.rows.kinds[place].isTime && !this.rows.kinds[place].isAge;
    const about = [doc ? `${name}: ${doc}` : name, isClock ? `(shown in ${zone()})` : ""].filter(Boolean).join(" ");
    const sort = button(this.rows.kinds[place].title, about, undefined, () => {
      this.rows.turnSort(place);
      this.shell.requestPaint();
    });
    const style = ["tes-cell", this.rows.kinds[place].isNumber && "tes-number", this.bars.has(place) && "tes-barred"].filter(Boolean).join(" ");
    return make("div", { class: style, role: "columnheader", "aria-sort": "none" }, [sort]);
  }

  /** Show the rows in which the text occurs. */
  search(text) {
    this.filter.value = text;
    this.rows.setFilter(text);
    this.shell.requestPaint();
  }

  apply(change) {
    this.rows.apply(change);
    if (change.replace && !change.rows?.length) this.shell.freshness.heartbeat(); // all there is: nothing
    else this.shell.freshness.tick();
    this.shell.requestPaint();
  }

  setState(state) {
    this.shell.setState(state);
    if (state.rowless) this.shell.requestPaint();
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
  }

  // Painting ------------------------------------------------------------------------------------------------------

  paint() {
    const visible = this.rows.visible();
    const all = this.rows.byKey.size;
    if (!this.showsAll && this.filled !== this.rows.filled.size) this.showAll(false);
    this.setWidths(visible);
    this.measureBars(visible);
    enable(this.csvButton, "Save the rows shown as CSV, all columns", visible.length ? "" : "There are no rows to save.");
    setText(this.count, visible.length === all ? count(all, "row") : `${visible.length} of ${count(all, "row")}`);
    this.shell.say(all ? "" : (this.shell.freshness.lastTick !== null && this.empty) || "No rows yet.");
    this.shown.forEach((place, at) => this.heads[at].setAttribute("aria-sort", this.sortWord(place)));
    this.list.element.hidden = !all;
    this.shell.root.hidden = this.ifAny && !all;
    const panelAt = this.actions?.key == null ? -1 : visible.findIndex(({ key }) => key === this.actions.key);
    this.list.setPanel(panelAt < 0 ? null : { element: this.actions.element, height: PANEL_PX, at: panelAt });
    this.list.paint(visible);
  }

  /** Write every cell anew: ages have grown, or a column has another scale. */
  refresh() {
    for (const slot of this.list.rows) slot.version = null;
    this.shell.requestPaint();
  }

  sortWord(place) {
    if (this.rows.sort?.place !== place) return "none";
    return this.rows.sort.sign === 1 ? "ascending" : "descending";
  }

  paintRow(slot, row, at) {
    const same = slot.item === row;
    slot.element.id = `${this.id}-${at}`;
    if (row.key === this.selected) this.list.element.setAttribute("aria-activedescendant", slot.element.id);
    if (same && slot.version === row.version) return;
    if (this.actions) this.paintActions(slot, row);
    this.shown.forEach((place, at) => {
      const cell = slot.cells[at];
      const kind = this.rows.kinds[place];
      const text = shorten(kind.cell(row.values[place]), CELL_CHARS);
      const differs = cell.textContent !== text;
      if (differs) cell.textContent = text;
      cell.title = text.length > 24 ? text : "";
      if (this.bars.has(place)) cell.style.setProperty("--tes-share", `${this.share(row, place)}%`);
      const isNews = row.changed?.[place] && !kind.isAge; // that time goes on is none
      if (this.flashes && same && differs && slot.version !== null && isNews) flash(cell);
      else if (!same) cell.classList.remove("tes-flash");
    });
    slot.version = row.version;
  }

  paintActions(slot, row) {
    if (!slot.buttons) {
      slot.buttons = this.actions.buttons(() => slot.item);
      slot.cells[slot.cells.length - 1].append(...slot.buttons);
    }
    this.actions.paint(slot.buttons, row);
  }

  /** How long the bar of a cell is, in percent of the largest one. */
  share(row, place) {
    const most = this.largest.get(place);
    return most > 0 ? Math.round((100 * Math.max(0, row.values[place] ?? 0)) / most) : 0;
  }

  /** The largest value of each column with bars; all of them are drawn anew where one has changed. */
  measureBars(rows) {
    for (const place of this.bars) {
      const most = rows.reduce((largest, row) => Math.max(largest, row.values[place] ?? 0), 0);
      if (most === this.largest.get(place)) continue;
      this.largest.set(place, most);
      this.refresh();
    }
  }

  /** Columns are as wide as the first rows need; set once there are some, so that nothing jumps later. */
  setWidths(rows) {
    const sample = rows.slice(0, SAMPLE);
    const fitted = this.shown.map((place) => this.rows.kinds[place].fit(sample.map((row) => row.values[place])));
    if (fitted.includes(true)) this.refresh();
    if (this.sampleSize === sample.length && !fitted.includes(true)) return;
    this.sampleSize = sample.length;
    const widths = this.shown.map((place, at) => {
      const kind = this.rows.kinds[place];
      setText(this.heads[at].firstChild, kind.title);
      const longest = sample.reduce((most, row) => Math.max(most, kind.cell(row.values[place]).length + 1), 4);
      const most = at === 0 ? MOST_CHARS_OF_NAME : MOST_CHARS;
      return Math.max(this.widths?.[at] ?? 0, Math.min(Math.max(kind.title.length + 1, longest), most));
    });
    this.widths = widths;
    const flexible = (place, width) => (this.rows.kinds[place].isNumber ? 1 : width);
    // A name takes at most half of what is in sight, so that something of what is said of it stands beside it.
    const least = widths.map((width, at) => `${at === 0 ? "min(50cqi, " : "calc("}${width}ch + ${PADDING_PX}px)`);
    const tracks = widths.map((width, at) => `minmax(${least[at]}, ${flexible(this.shown[at], width)}fr)`);
    this.list.element.style.setProperty("--tes-width", `calc(${least.join(" + ")})`);
    if (this.actions) tracks.push("max-content");
    this.list.element.style.setProperty("--tes-columns", tracks.join(" "));
  }

  // What the reader does --------------------------------------------------------------------------------------------

  select(key) {
    this.selected = this.chooses && this.selected === key ? null : key;
    if (this.chooses) this.ask?.({ type: "select", key: this.selected });
    this.shell.requestPaint();
  }

  onKey(event) {
    const visible = this.rows.visible();
    const at = visible.findIndex((row) => row.key === this.selected);
    const page = this.list.pageRows;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity }[event.key];
    if (to === undefined || !visible.length) return;
    event.preventDefault();
    const place = Math.max(0, Math.min(visible.length - 1, to));
    this.list.reveal(place);
    this.select(visible[place].key);
  }

  csv() {
    const unitOf = ({ unit }, place) => (this.rows.kinds[place].isTime ? zone() : unit);
    const head = this.columns.map((column, place) => (unitOf(column, place) ? `${column.name} [${unitOf(column, place)}]` : column.name));
    const cells = (row) => row.values.map((value, place) => this.plain(value, place));
    const lines = [head, ...this.rows.visible().map(cells)];
    return lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
  }

  plain(value, place) {
    if (value === null || value === undefined) return "";
    return this.rows.kinds[place].isTime ? isoTime(value) : value;
  }

  saveCsv() {
    download(new Blob([this.csv()], { type: "text/csv" }), fileName(this.shell.title, "csv"));
  }

  destroy() {
    clearInterval(this.timer);
    this.unwatchZone();
    this.list.destroy();
    this.shell.destroy();
  }
}

/** The places of the columns to show at first; where the most important one is not there, the row's key stands for it. */
function firstPlaces(columns, { first = [], key = [] }) {
  const placeOf = (name) => columns.findIndex((column) => column.name === name);
  const chosen = placeOf(first[0]) < 0 ? [...key.slice(0, 1), ...first] : first;
  const places = new Set(chosen.map(placeOf).filter((place) => place >= 0));
  return first.length && places.size ? Array.from(places) : columns.map((_, place) => place);
}

/** Show for a moment that a cell changed; a second change begins it anew. */
function flash(cell) {
  cell.classList.remove("tes-flash");
  void cell.offsetWidth;
  cell.classList.add("tes-flash");
  clearTimeout(cell.flashTimer);
  cell.flashTimer = setTimeout(() => cell.classList.remove("tes-flash"), FLASH_MS);
}
