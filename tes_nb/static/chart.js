// The chart: a panel per quantity and unit with one time axis, used by the notebook's widget and by the collector's page
// alike.

import { EventList, Tip } from "./annotations.js";
import { handleKey, Help, KEYS_HELP, Toolbar } from "./chart_controls.js";
import { ChartData } from "./chart_data.js";
import { download, keepKeys, make, setText } from "./dom.js";
import { toCanvas, toCsv } from "./exporting.js";
import { count, fileName, formatDates, shorten } from "./format.js";
import { membersOf, Panel } from "./panel.js";
import { FRESHNESS_MS } from "./shell.js";
import { readTheme, watchTheme } from "./theme.js";
import { setUsualZone, watchZone, zoneWords } from "./zone.js";
import { SharedZoom } from "./axes.js";

const MAX_SERIES = 500;
const SHORTEST_S = 30;
/** A picture that takes long to paint is painted seldom: so many times as long, the page is left to others. */
const RESTS = 2;
const SLOW_MS = 80;
const BOUND = /^limits?_/;
let charts = 0;

/**
 * Put a live chart into `el`.
 *
 * @param {HTMLElement} el
 * @param {object} spec
 *   title; drawn: columns to draw of those that come, [] = all; window_s: seconds shown at first (null = all);
 *   period_s: the longest normal silence; break_s: a silence that breaks a line (null = none does);
 *   limits: [{column, label?, above?, below?}]; silent: what to do when nothing is heard any more;
 *   filter: which rows these are, in words; tz: the time zone of the kernel's options, null = the browser's.
 * @param {{data?: ChartData, clock?: () => number, zoom?: SharedZoom}} [options] data that others fill, a clock for tests,
 *   what it zooms in step with
 * @returns {Chart} with append(buffer), setState(state), destroy()
 */
export function createChart(el, spec, options = {}) {
  return new Chart(el, spec, options);
}

class Chart {
  constructor(el, spec, { data, clock = () => Date.now() / 1000, zoom = new SharedZoom() }) {
    this.clock = clock;
    this.title = String(spec.title ?? "chart");
    this.filter = String(spec.filter ?? "");
    this.subject = "";
    if ("tz" in spec) setUsualZone(spec.tz);
    this.data = data ?? new ChartData(spec, clock);
    this.key = `tes-chart-${++charts}`;
    this.windowS = spec.window_s == null ? Infinity : Number(spec.window_s);
    this.columns = spec.drawn ?? [];
    /** What it shows in step with others. */
    this.shared = zoom;
    this.pausedAt = null;
    this.heldSince = null;
    this.hidden = new Set();
    /** The key of the subject that is drawn alone; null = all are. */
    this.only = null;
    this.presetKeys = new Set();
    this.panels = [];
    this.structure = "";
    /** Whether panels are open that have nothing but zeros. */
    this.showsZeros = false;
    this.showsStats = false;
    this.visible = true;
    this.frame = 0;
    this.restUntil = 0;
    this.restTimer = null;
    this.axisWidth = 48;
    this.build(el);
    this.cleanups = [zoom.watch(() => this.onRangeChange()), watchTheme(() => this.onThemeChange()), watchZone(() => this.onZoneChange()), this.watchSize()];
    const listener = () => this.requestDraw();
    this.data.listeners.add(listener);
    this.cleanups.push(() => this.data.listeners.delete(listener));
    const timer = setInterval(() => this.paintBadge(), FRESHNESS_MS);
    this.cleanups.push(() => clearInterval(timer));
    this.requestDraw();
    this.paintBadge();
  }

  build(el) {
    this.toolbar = new Toolbar(this, { title: this.title, windowS: this.windowS });
    this.help = new Help();
    this.folded = make("p", { class: "tes-folded", hidden: true });
    this.sentence = make("p", { class: "tes-sentence", hidden: true });
    this.stack = make("div", { class: "tes-panels", tabindex: 0, role: "group", "aria-label": `${this.title}. ${KEYS_HELP}` });
    this.tip = new Tip();
    this.events = new EventList(this);
    this.root = make("div", { class: "tes tes-chart" }, [
      this.toolbar.element,
      this.help.element,
      this.sentence,
      this.stack,
      this.folded,
      this.events.element,
      this.tip.element,
    ]);
    keepKeys(this.root);
    this.stack.addEventListener("keydown", (event) => handleKey(this, event));
    this.stack.addEventListener("dblclick", () => this.zoomTo(null));
    this.stack.addEventListener("mouseleave", () => this.tip.hide());
    el.append(this.root);
  }

  watchSize() {
    const observer = new ResizeObserver(() => {
      for (const panel of this.panels) panel.resize();
      this.requestDraw();
    });
    observer.observe(this.stack);
    return () => observer.disconnect();
  }

  // What comes in ---------------------------------------------------------------------------------------------

  append(buffer) {
    this.data.append(buffer);
  }

  setState(state) {
    this.data.setState(state);
  }

  // What panels and tools ask -----------------------------------------------------------------------------------

  width() {
    return this.stack.clientWidth || this.root.clientWidth || 600;
  }

  theme() {
    this.colours ??= readTheme(this.root);
    return this.colours;
  }

  /** The newest time that came, or now before there was any. */
  newest() {
    const newest = this.data.store.newest;
    return Number.isFinite(newest) ? newest : this.clock();
  }

  /** [from, to] in Unix seconds: the zoom, else the window up to the newest point, or to where it was paused. */
  range() {
    if (this.shared.range) return this.shared.range;
    const to = this.pausedAt ?? this.newest();
    const reach = Math.max(to - this.earliest(to), Math.min(SHORTEST_S, this.windowS));
    return [to - Math.min(this.windowS, reach), to];
  }

  /** The first time there is; a window that is not full yet begins there. */
  earliest(to) {
    const firsts = this.data.store.series.map(({ ring }) => (ring.length ? ring.times[ring.start] : Infinity));
    const first = firsts.reduce((a, b) => Math.min(a, b), Infinity);
    return Number.isFinite(first) && first < to ? first : to;
  }

  /** The width of the value axes: one for all panels, so that their times lie below each other. It only grows. */
  axisSize(wanted) {
    if (wanted > this.axisWidth) {
      this.axisWidth = wanted;
      for (const panel of this.panels) panel.remeasure = true;
      this.requestDraw();
    }
    return this.axisWidth;
  }

  isHidden(key) {
    return this.hidden.has(key);
  }

  isPassed(series) {
    return this.data.limits.isPassed(series);
  }

  limitsOf(members) {
    return this.data.limits.of(members);
  }

  isPaused() {
    return this.pausedAt !== null;
  }

  // What the reader does ----------------------------------------------------------------------------------------

  setWindow(seconds) {
    this.windowS = seconds;
    this.zoomTo(null);
  }

  setPaused(paused) {
    this.pausedAt = paused ? this.newest() : null;
    this.heldSince = paused ? this.clock() : null;
    this.paintBadge();
    this.onRangeChange();
  }

  /** Show [from, to]; null = the window again. */
  zoomTo(range) {
    this.shared.set(range);
  }

  onRangeChange() {
    this.toolbar.paint(this.toolState());
    this.requestDraw();
  }

  /** Show or hide a series; alone = show no other, or all again. */
  toggle(key, alone) {
    if (alone) {
      const others = this.data.store.series.filter((series) => series.key !== key).map((series) => series.key);
      const isAlone = !this.hidden.has(key) && others.every((other) => this.hidden.has(other));
      this.hidden = new Set(isAlone ? [] : others);
    } else if (!this.hidden.delete(key)) {
      this.hidden.add(key);
    }
    for (const panel of this.panels) panel.updateVisibility();
    this.requestDraw();
  }

  /** Least, greatest and mean value of what is in view, in the legends. */
  toggleStats() {
    this.showsStats = !this.showsStats;
    this.toolbar.paint(this.toolState());
    this.requestDraw();
  }

  toolState() {
    return { paused: this.isPaused(), zoomed: this.shared.range !== null, stats: this.showsStats };
  }

  savePng() {
    const title = [this.title, this.subject, this.filter].filter(Boolean).join(" · ");
    const options = { title, state: this.toolbar.badge.word.textContent, panels: this.panels, theme: this.theme() };
    const canvas = toCanvas({ ...options, isHidden: (key) => this.isHidden(key) });
    canvas.toBlob((blob) => blob && download(blob, fileName(this.title, "png")));
  }

  csv() {
    const visible = this.seriesToDraw().filter(({ key }) => !this.isHidden(key));
    return toCsv(visible, ...this.range());
  }

  saveCsv() {
    download(new Blob([this.csv()], { type: "text/csv" }), fileName(this.title, "csv"));
  }

  // Drawing -----------------------------------------------------------------------------------------------------

  /** Nothing is drawn while nobody can see it. */
  setVisible(visible) {
    if (visible && !this.visible) this.data.freshness.resume();
    if (!visible) this.paintBadge(); // the last word stays on the screen: it must not be an old one
    this.visible = visible;
    if (visible) this.requestDraw();
  }

  requestDraw() {
    if (this.frame || !this.visible) return;
    const wait = this.restUntil - performance.now();
    if (wait > 0) {
      this.restTimer ??= setTimeout(() => this.endRest(), wait);
      this.root.dataset.resting = "";
      return;
    }
    this.frame = requestAnimationFrame((began) => {
      this.frame = 0;
      this.draw();
      requestAnimationFrame((painted) => this.restAfter(painted - began));
    });
  }

  restAfter(took) {
    if (took > SLOW_MS) this.restUntil = performance.now() + RESTS * took;
  }

  endRest() {
    this.restTimer = null;
    delete this.root.dataset.resting;
    this.requestDraw();
  }

  draw() {
    if (!this.stack.clientWidth) return; // it stands in a part that is hidden; once that is shown, its size has changed
    const { store, sentence } = this.data;
    const structure = `${store.structure} ${store.series.map(({ extent }) => extent || "-").join("")}`;
    if (this.structure !== structure) this.restructure(structure);
    const [from, to] = this.range();
    const zone = `${formatDates(from, to)} · ${zoneWords(to)}`;
    for (const panel of this.panels) panel.draw(zone);
    this.showSentence(sentence || this.emptySentence());
    this.events.paint();
    this.paintBadge();
  }

  seriesToDraw() {
    return this.chosenSeries().slice(0, MAX_SERIES);
  }

  /** Draw the lines of one subject alone, by a word of its key, with its own marks; null = of all. */
  setOnly(key) {
    this.only = key;
    this.data.annotations.setSubject(key);
    this.structure = -1;
    this.requestDraw();
  }

  chosenSeries() {
    const { series } = this.data.store;
    const place = ({ column }) => this.columns.indexOf(column);
    const drawn = this.columns.length ? series.filter((one) => place(one) >= 0).sort((a, b) => place(a) - place(b)) : series;
    return this.only === null ? drawn : drawn.filter(({ label }) => label.split(" · ").includes(this.only));
  }

  emptySentence() {
    const series = this.chosenSeries();
    if (series.length > MAX_SERIES) return `${series.length} series came; the first ${MAX_SERIES} are drawn.`;
    if (series.some(({ ring }) => ring.length)) return "";
    return series.length ? "No data yet." : "No data yet: nothing to draw has come.";
  }

  showSentence(text) {
    this.sentence.hidden = !text;
    setText(this.sentence, text);
  }

  /** Series came or went, or had a first value: a panel per quantity and unit, in the order in which they appear. */
  restructure(structure) {
    this.structure = structure;
    const groups = new Map();
    for (const series of this.seriesToDraw()) {
      groups.set(series.group, [...(groups.get(series.group) ?? []), series]);
      this.hideBound(series);
    }
    const flat = (members) => members.every(({ extent }) => extent !== "1");
    const zeros = Array.from(groups).filter(([, members]) => flat(members));
    const folds = !this.showsZeros && zeros.length < groups.size ? zeros : [];
    for (const [group] of folds) groups.delete(group);
    this.paintFold(zeros.length < groups.size + folds.length ? zeros.flatMap(([, members]) => members) : []);
    const subjects = Array.from(new Set(this.seriesToDraw().map(({ subject }) => subject)));
    /** Whom the whole chart is about; "" = several, or nobody. */
    this.subject = subjects.length === 1 ? subjects[0] : "";
    this.toolbar.say([this.subject, this.filter]);
    const present = new Map(this.panels.map((panel) => [panel.group, panel]));
    for (const [group, panel] of present) if (!groups.has(group)) panel.destroy();
    this.panels = Array.from(groups, ([group, members]) => present.get(group) ?? new Panel(this, group, members[0]));
    this.stack.replaceChildren(...this.panels.map(({ element }) => element));
    for (const panel of this.panels) panel.setSeries(membersOf(groups.get(panel.group), subjects));
    for (const panel of this.panels) panel.resize();
  }

  /** What has nothing but zeros, or no value at all, is one line; a click opens its panels. */
  paintFold(series) {
    const names = Array.from(new Set(series.map(({ quantity, title }) => quantity || title)));
    const zeros = series.filter(({ extent }) => extent === "0").length;
    const empty = series.length - zeros;
    const words = [zeros ? `${zeros} more, all 0` : "", empty ? `${count(empty, "line")} without a value` : ""].filter(Boolean).join(" · ");
    this.folded.hidden = !words;
    const text = `${words}: ${shorten(names.join(", "), 120)}`;
    if (this.folded.textContent === text) return;
    this.folded.replaceChildren(
      make("button", { type: "button", text, title: "Show or hide these panels", on: { click: () => this.toggleZeros() } }),
    );
  }

  toggleZeros() {
    this.showsZeros = !this.showsZeros;
    this.structure = "";
    this.requestDraw();
  }

  /** A bound beside what it bounds would press every line flat: it is there, but not shown at first. */
  hideBound({ key, column }) {
    if (this.presetKeys.has(key)) return;
    this.presetKeys.add(key);
    if (BOUND.test(column)) this.hidden.add(key);
  }

  onThemeChange() {
    this.colours = null;
    for (const panel of this.panels) panel.rebuild();
    this.requestDraw();
  }

  onZoneChange() {
    this.toolbar.paintZone();
    for (const panel of this.panels) panel.remeasure = true;
    this.requestDraw();
  }

  /** The cursor of a panel moved: say what is there. */
  onCursor(panel, cursor) {
    if (panel !== this.active()) return;
    if (cursor.left < 0) return this.tip.hide();
    const time = panel.timeAt(cursor);
    const [from, to] = this.range();
    const notes = this.data.annotations.at(time, ((to - from) / this.width()) * 6, this.newest());
    this.tip.show(panel.element, cursor, { time, lines: panel.valuesAt(cursor), notes });
  }

  /** The panel whose cursor the reader moves: the others follow it. */
  active() {
    return this.panels.find((panel) => panel.stage.matches(":hover")) ?? this.panels[0];
  }

  paintBadge() {
    if (!this.visible) return;
    const status = this.data.freshness.status(); // of the data, which other charts may share
    const isHeld = this.heldSince !== null && !["LOST", "CLOSED"].includes(status.word);
    this.toolbar.badge.paint(isHeld ? { word: "PAUSED", since: this.heldSince, text: "" } : status, this.clock());
    const isEmpty = !this.data.store.series.some(({ ring }) => ring.length);
    this.toolbar.enable({ isOver: ["LOST", "CLOSED"].includes(status.word) && !this.isPaused(), isEmpty });
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.restTimer);
    for (const cleanup of this.cleanups) cleanup();
    for (const panel of this.panels) panel.destroy();
    this.root.remove();
  }
}
