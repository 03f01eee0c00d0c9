// Ticks and ranges of the axes, and the zoom that several pictures share. No DOM.

import { formatValue } from "./format.js";
import { offsetAt, wallClock } from "./zone.js";

const LARGEST = 1e306;
const CLOSE = 0.5;

/**
 * The range of a value axis, with air, and with limits that are near what is drawn: from zero, as amounts are read;
 * `free` numbers, such as prices, that keep close together, from the least of them.
 */
export function valueRange(low, high, limits, free = false) {
  const close = free && low > 0 && low < high && low > CLOSE * high;
  let [from, to] = [close ? low : Math.min(0, low ?? 0), Math.max(0, high ?? 0)];
  for (const limit of limits) {
    if (limit <= 2 * to || to === 0) to = Math.max(to, limit);
    if (limit >= 2 * from && limit < 0) from = Math.min(from, limit);
  }
  if (from === to) to = from + 1;
  const air = (to - from) * 0.06;
  const bounded = (value) => Math.max(-LARGEST, Math.min(LARGEST, value));
  return [from === 0 ? 0 : bounded(from - air), to === 0 ? 0 : bounded(to + air)];
}

/** Return round values from `low` to `high`, about `count` of them. */
export function ticks(low, high, count) {
  const step = roundStep((high - low) / Math.max(1, count));
  if (!Number.isFinite(step) || step <= 0) return [];
  const values = [];
  for (let place = Math.ceil(low / step); place * step <= high && values.length < 50; place++) values.push(place * step);
  return values;
}

/** The smallest of 1, 2, 5 · 10ⁿ that is not below `rough`. */
export function roundStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
}

/** Units that stand at each tick; all others stand above the axis alone. */
const AT_TICKS = new Set(["bytes", "bytes/s", "percent"]);

/** Return the words at the ticks of a value axis, with as many digits as tell them apart. */
export function valueWords(splits, axisUnit) {
  const unit = AT_TICKS.has(axisUnit) ? axisUnit : "";
  if (splits.length < 2) return splits.map((value) => formatValue(value, unit));
  const words = splits.map((value) => formatValue(value, unit));
  return new Set(words).size === words.length ? words : splits.map((value) => String(Number(value.toPrecision(6))));
}

const TIME_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/** Return times that are round on the page's clocks, from `low` to `high` (Unix seconds), about `count` of them. */
export function timeTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const step = TIME_STEPS.find((one) => one >= rough) ?? Math.ceil(rough / 86_400) * 86_400;
  const times = [];
  let place = Math.ceil((low + offsetAt(low)) / step);
  for (let tries = 0; tries < 200 && times.length < 50; tries++, place++) {
    const time = fromWallClock(place * step, times.at(-1) ?? low);
    if (time > high) break;
    if (time >= low && time > (times.at(-1) ?? -Infinity)) times.push(time);
  }
  return times;
}

/** The time at which the page's clocks show `wall`; `near`: a time close to it, for clocks are changed at times. */
function fromWallClock(wall, near) {
  const guess = wall - offsetAt(near);
  return wall - offsetAt(guess);
}

/** Return "12:03", "12:03:10", "12:03:10.5" or "08-03" for ticks, by how far they lie apart. */
export function timeWords(splits) {
  const step = splits.length > 1 ? splits[1] - splits[0] : 1;
  const two = (number) => String(number).padStart(2, "0");
  return splits.map((seconds) => {
    const moment = wallClock(seconds);
    const midnight = moment.getUTCHours() + moment.getUTCMinutes() + moment.getUTCSeconds() === 0;
    if (step >= 86_400 || (midnight && step >= 3600)) return `${two(moment.getUTCMonth() + 1)}-${two(moment.getUTCDate())}`;
    const minutes = `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}`;
    if (step >= 60) return minutes;
    const tenths = step < 0.99 ? `.${Math.floor(moment.getUTCMilliseconds() / 100)}` : "";
    return `${minutes}:${two(moment.getUTCSeconds())}${tenths}`;
  });
}

/** The stretch of time that all charts and lanes of one page or dashboard show in step. */
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
