// From many points to what a screen can show: aligned columns for uPlot. No DOM.
//
// A value of null breaks a line; undefined says that another series has a point there and this one simply has not.

/** Above so many different times in view, points are put into buckets that keep each one's smallest and largest. */
export const MAX_POINTS = 2_000;
const LARGEST = 1e305;

/**
 * Return what lies between `from` and `to` (Unix seconds), with one point more at either side.
 *
 * @param {{times: Float64Array, values: Float64Array}[]} lines sorted by time
 * @returns {{x: number[], ys: (number|null|undefined)[][], decimated: boolean}}
 */
export function decimate(lines, from, to, maxPoints = MAX_POINTS) {
  const parts = lines.map((line) => part(line, from, to));
  if (sameTimes(parts)) {
    const length = parts.length ? parts[0].times.length : 0;
    if (length <= maxPoints) return { x: parts.length ? Array.from(parts[0].times) : [], ys: parts.map(plain), decimated: false };
    return toBuckets(parts, from, to, maxPoints);
  }
  const x = union(parts, maxPoints);
  if (x === null) return toBuckets(parts, from, to, maxPoints);
  return { x, ys: parts.map((one) => spread(one, x)), decimated: false };
}

/** Return the first place in the sorted `times` whose time is at least `time`. */
export function lowerBound(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function part({ times, values }, from, to) {
  const low = Math.max(0, lowerBound(times, from) - 1);
  let high = lowerBound(times, to);
  while (high < times.length && times[high] === to) high += 1;
  high = Math.min(times.length, high + 1);
  return { times: times.subarray(low, high), values: values.subarray(low, high) };
}

function sameTimes(parts) {
  const first = parts[0]?.times;
  return parts.every(({ times }) => {
    if (times.length !== first.length) return false;
    for (let at = 0; at < times.length; at++) if (times[at] !== first[at]) return false;
    return true;
  });
}

/** uPlot knows gaps as null, and nothing of infinities or of sums beyond what a float holds. */
function drawable(value) {
  return Math.abs(value) <= LARGEST ? value : null;
}

function plain({ values }) {
  return Array.from(values, drawable);
}

/** Return the different times of all parts in order, or null when there are more than `most`. */
function union(parts, most) {
  const distinct = new Set();
  for (const { times } of parts) {
    if (times.length > most) return null;
    for (const time of times) distinct.add(time);
    if (distinct.size > most) return null;
  }
  return Array.from(distinct).sort((a, b) => a - b);
}

function spread({ times, values }, x) {
  const column = new Array(x.length).fill(undefined);
  let at = 0;
  for (let row = 0; row < times.length; row++) {
    while (x[at] < times[row]) at += 1;
    column[at] = drawable(values[row]);
  }
  return column;
}

/** Buckets begin at multiples of their width, so that a picture that slides does not shimmer. */
function toBuckets(parts, from, to, maxPoints) {
  const width = Math.max(to - from, 1e-6) / (maxPoints / 2);
  const first = Math.floor(from / width) - 1;
  const count = Math.floor(to / width) + 1 - first + 1;
  const x = new Array(2 * count);
  for (let bucket = 0; bucket < count; bucket++) {
    x[2 * bucket] = (first + bucket + 0.25) * width;
    x[2 * bucket + 1] = (first + bucket + 0.75) * width;
  }
  const place = (time) => Math.max(0, Math.min(count - 1, Math.floor(time / width) - first));
  return { x, ys: parts.map((one) => bucketColumn(one, count, place)), decimated: true };
}

function bucketColumn({ times, values }, count, place) {
  const column = new Array(2 * count).fill(undefined);
  let row = 0;
  while (row < times.length) {
    const bucket = place(times[row]);
    let low = -1;
    let high = -1;
    for (; row < times.length && place(times[row]) === bucket; row++) {
      if (drawable(values[row]) === null) continue;
      if (low < 0 || values[row] < values[low]) low = row;
      if (high < 0 || values[row] > values[high]) high = row;
    }
    column[2 * bucket] = low < 0 ? null : values[Math.min(low, high)];
    if (low < 0) column[2 * bucket + 1] = null;
    else if (low !== high) column[2 * bucket + 1] = values[Math.max(low, high)];
  }
  return column;
}
