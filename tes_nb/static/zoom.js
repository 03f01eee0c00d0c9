// The stretch of time that all charts and lanes of one page or dashboard show in step. No DOM.

export class SharedZoom {
  constructor() {
    /** [from, to] in Unix seconds; null = each shows its own window. */
    this.range = null;
    this.listeners = new Set();
  }

  /** Show a stretch everywhere; null, or one that is none, = the windows again. */
  set(range) {
    this.range = range && range[1] > range[0] ? [range[0], range[1]] : null;
    for (const listener of this.listeners) listener();
  }

  /** Call `changed` after each change; return the function that ends it. */
  watch(changed) {
    this.listeners.add(changed);
    return () => this.listeners.delete(changed);
  }
}

/** The stretch around `share` of the range (0 = its beginning), `factor` times as long, at least a tenth of a second. */
export function zoomed([from, to], factor, share = 0.5) {
  const span = Math.max(0.1, (to - from) * factor);
  const middle = from + share * (to - from);
  return [middle - share * span, middle + (1 - share) * span];
}
