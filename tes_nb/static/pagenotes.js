// What is written over all charts of the page: marks, executed cells, times in which the kernel was held. No DOM.

const MOST = 200;

export class PageNotes {
  /** @param {() => import("./source_view.js").StreamViews[]} views all sources on the page */
  constructor(views) {
    this.views = views;
    this.told = { marks: [], cells: [], held: [] };
  }

  /** A mark is put into every source; it is one mark. */
  event(event) {
    if (event.type !== "mark" || this.told.marks.some(({ t }) => t === event.t)) return;
    this.add("marks", { t: event.t, label: event.label });
  }

  /** Take executed cells and held times from the tables of what the kernel reports. */
  follow(views) {
    this.listen(views, "cells", (cell) => ({
      start: cell.start,
      end: cell.start + cell.wall_s,
      label: cell.first_line === null ? `[${cell.number}]` : `[${cell.number}] ${cell.first_line}`,
    }));
    this.listen(views, "held", ({ start, seconds }) => ({ start, end: start + seconds, label: "" }));
  }

  listen(views, name, note) {
    const table = views.tables.get(name);
    if (!table) return;
    const names = table.table.columns.map((column) => column.name);
    table.listeners.push((rows) => {
      for (const row of rows) this.add(name, note(Object.fromEntries(names.map((column, place) => [column, row[place]]))));
    });
  }

  add(name, note) {
    this.told[name] = [...this.told[name], note].slice(-MOST);
    for (const views of this.views()) for (const { chartData } of views.tables.values()) chartData.setState({ [name]: this.told[name] });
  }
}
