// Thresholds: lines that colour when a series passes them. No DOM.

import { formatValue } from "./format.js";

export class Limits {
  /** @param {{column: string, label?: string, above?: number, below?: number}[]} told */
  constructor(told = []) {
    this.told = told.flatMap((one) => [
      ...(Number.isFinite(one.above) ? [{ ...one, value: one.above, sign: 1 }] : []),
      ...(Number.isFinite(one.below) ? [{ ...one, value: one.below, sign: -1 }] : []),
    ]);
  }

  concerns(limit, series) {
    return limit.column === series.column && (limit.label == null || limit.label === series.label);
  }

  /** Whether the series' newest value lies beyond one of its limits. */
  isPassed(series) {
    const value = series.ring.lastValue;
    return this.told.some((limit) => this.concerns(limit, series) && limit.sign * (value - limit.value) > 0);
  }

  /** Return the limits of these series as {value, passed, words}. */
  of(members) {
    return this.told
      .filter((limit) => members.some((series) => this.concerns(limit, series)))
      .map((limit) => {
        const passed = members.some(
          (series) => this.concerns(limit, series) && limit.sign * (series.ring.lastValue - limit.value) > 0,
        );
        const bound = formatValue(limit.value, members[0].unit);
        return { value: limit.value, passed, words: `${passed ? "⚠ " : ""}${limit.column} ${limit.sign > 0 ? ">" : "<"} ${bound}` };
      });
  }
}
