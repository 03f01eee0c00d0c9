// Marks, cells, held times and alerts as a list that opens: for those who cannot hover, and to read them in order.

import { make, setText } from "./dom.js";
import { count, formatTime, shorten } from "./format.js";

const MOST = 200;

export class EventList {
  constructor(chart) {
    this.chart = chart;
    this.summary = make("summary");
    this.list = make("ol");
    this.element = make("details", { class: "tes-events", hidden: true, on: { toggle: () => this.paint() } }, [
      this.summary,
      this.list,
    ]);
  }

  paint() {
    const { alerts } = this.chart.feed;
    const now = this.chart.newest();
    const events = [...alerts.map(({ t, text }) => [t, `⚠ ${shorten(String(text), 200)}`]), ...this.chart.notes.listed(now)];
    this.element.hidden = events.length === 0;
    this.element.classList.toggle("tes-passed", alerts.length > 0);
    const alerted = alerts.length ? `${count(alerts.length, "alert")} · ` : "";
    setText(this.summary, alerted + count(events.length, "event"));
    if (!this.element.open) return;
    events.sort((a, b) => b[0] - a[0]);
    const lines = events.slice(0, MOST).map(([time, words]) => `${formatTime(time)}  ${words}`);
    if (lines.join("\n") === this.shown) return;
    this.shown = lines.join("\n");
    this.list.replaceChildren(...lines.map((text) => make("li", { text })));
  }
}
