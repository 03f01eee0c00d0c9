// The line above a chart: state, title, window, pause, zoom, PNG, CSV.

import { button, make, setText } from "./dom.js";
import { formatDuration, formatTime } from "./format.js";

const WINDOWS = [30, 60, 300, 900, 3600, 6 * 3600];

/** The badge that says whether the view is true now. The word is announced, the running seconds are not. */
export class Badge {
  constructor() {
    this.word = make("span", { class: "tes-state", role: "status" });
    this.detail = make("span", { class: "tes-detail" });
    this.element = make("span", { class: "tes-badge" }, [this.word, this.detail]);
  }

  /** @param {{word: string, since: number | null, text: string}} judged */
  paint({ word, since, text }, now) {
    setText(this.word, word);
    this.word.dataset.word = word;
    const from = since === null || since === undefined || word === "WAITING" ? "" : `since ${formatTime(since, now)}`;
    setText(this.detail, [from, text].filter(Boolean).join(": "));
  }
}

export class Toolbar {
  /** @param {object} chart @param {{title: string, windowS: number}} given */
  constructor(chart, { title, windowS }) {
    this.badge = new Badge();
    this.window = make("select", { "aria-label": "Time window", on: { change: () => chart.setWindow(Number(this.window.value)) } });
    this.pause = button("Pause", "Hold the picture still (space); data is still kept", "false", () => chart.setPaused(!chart.isPaused()));
    this.reset = button("Reset zoom", "Show the whole window again (0)", undefined, () => chart.zoomTo(null));
    this.reset.disabled = true;
    this.fillWindows(windowS);
    this.element = make("div", { class: "tes-bar", role: "toolbar", "aria-label": `${title} chart` }, [
      this.badge.element,
      make("span", { class: "tes-title", text: title }),
      make("span", { class: "tes-tools" }, [
        this.window,
        this.pause,
        this.reset,
        button("PNG", "Save the picture as PNG", undefined, () => chart.savePng()),
        button("CSV", "Save the points in view as CSV", undefined, () => chart.saveCsv()),
      ]),
    ]);
  }

  fillWindows(windowS) {
    const choices = new Set([...WINDOWS, ...(Number.isFinite(windowS) ? [windowS] : [])]);
    const sorted = [...choices].sort((a, b) => a - b);
    const words = (seconds) => formatDuration(seconds).replace(/\.0 s$| 0 s$| 0 min$/, (end) => (end === ".0 s" ? " s" : ""));
    this.window.replaceChildren(
      ...sorted.map((seconds) => make("option", { value: seconds, text: words(seconds) })),
      make("option", { value: Infinity, text: "all" }),
    );
    this.window.value = String(windowS);
  }

  paint({ paused, zoomed }) {
    this.pause.setAttribute("aria-pressed", String(paused));
    setText(this.pause, paused ? "Resume" : "Pause");
    this.reset.disabled = !zoomed;
  }
}
