// What a chart shows, apart from how: points, notes, limits, and whether it is true now. No DOM.

import { AppendError, unpack } from "./chart_codec.js";
import { Honest, periodOf } from "./freshness.js";
import { Limits } from "./limits.js";
import { Notes } from "./annotations.js";
import { SeriesStore } from "./chart_data.js";

export class ChartFeed {
  /**
   * @param {object} spec {title, window_s, period_s, break_s, limits, silent}; see `createChart`
   * @param {() => number} clock Unix seconds
   */
  constructor(spec, clock) {
    this.store = new SeriesStore({ breakAfter: spec.break_s ?? null });
    this.notes = new Notes();
    this.limits = new Limits(spec.limits);
    this.honest = new Honest({ periodS: periodOf(spec), clock, silent: spec.silent ?? "" });
    this.alerts = [];
    this.sentence = "";
    this.sequence = null;
    this.listeners = new Set();
    /** Called when an append was missed and all must be asked for again. */
    this.onHole = () => {};
  }

  /** Take one binary append. What cannot be read is said in the view; after a hole the next keyframe heals it. */
  append(buffer) {
    let told;
    try {
      told = unpack(buffer);
    } catch (error) {
      if (!(error instanceof AppendError || error instanceof SyntaxError)) throw error;
      this.sentence = error instanceof AppendError ? error.message : "An append of the kernel could not be read.";
      this.changed();
      return;
    }
    if (!told.keyframe && told.sequence !== this.sequence + 1) {
      this.sequence = null;
      this.onHole();
      return;
    }
    this.sequence = told.sequence;
    this.sentence = "";
    this.store.take(told);
    if (told.blocks.some(({ times }) => times.length)) this.honest.tick();
    else this.honest.heard();
    this.changed();
  }

  /** Say which series there are: the way of a page that makes its rows itself. */
  define(list) {
    this.store.define(list);
    this.changed();
  }

  /** Add one row: Map of series key → value. */
  pushRow(time, valuesByKey) {
    this.store.pushRow(time, valuesByKey);
    this.honest.tick();
    this.changed();
  }

  /** Forget all points and gaps. */
  clear() {
    this.store.clear();
    this.setState({ gaps: [] });
  }

  /** Take parts of the state: {upstream, marks, cells, held, alerts, sentence}; what is left out stays. */
  setState(state) {
    if ("upstream" in state) this.honest.setUpstream(state.upstream);
    if (Array.isArray(state.alerts)) this.alerts = state.alerts;
    if (typeof state.sentence === "string") this.sentence = state.sentence;
    this.notes.set(state);
    this.honest.heard();
    this.changed();
  }

  changed() {
    for (const listener of this.listeners) listener();
  }
}
