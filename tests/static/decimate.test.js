import assert from "node:assert/strict";
import { test } from "node:test";
import { lowerBound, MAX_POINTS, decimate } from "../../tes_nb/static/decimate.js";

const line = (times, values) => ({ times: Float64Array.from(times), values: Float64Array.from(values) });
const steps = (count, value) => line(Array.from({ length: count }, (_, at) => at), Array.from({ length: count }, (_, at) => value(at)));

test("few points are drawn as they are; what cannot be drawn is a gap", () => {
  const { x, ys, decimated } = decimate([line([1, 2, 3, 4, 5, 6], [1, NaN, Infinity, -Infinity, 1e300, 1e308])], 0, 9);
  assert.deepEqual(x, [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(ys, [[1, null, null, null, 1e300, null]]);
  assert.equal(decimated, false);
});

test("one point more at either side, so that lines reach the edge", () => {
  assert.deepEqual(decimate([steps(10, (at) => at)], 3.5, 5.5).x, [3, 4, 5, 6]);
  assert.deepEqual(decimate([steps(10, (at) => at)], 4, 5).x, [3, 4, 5, 6]);
  assert.deepEqual(decimate([steps(3, (at) => at)], 50, 60).x, [2]);
});

test("series with different times are aligned; no point there is no gap", () => {
  const { x, ys } = decimate([line([1, 3], [10, 30]), line([2, 3], [NaN, 31])], 0, 9);
  assert.deepEqual(x, [1, 2, 3]);
  assert.deepEqual(ys, [[10, undefined, 30], [undefined, null, 31]]);
});

test("no series, no points, and points of nobody", () => {
  assert.deepEqual(decimate([], 0, 1), { x: [], ys: [], decimated: false });
  assert.deepEqual(decimate([line([], [])], 0, 1), { x: [], ys: [[]], decimated: false });
  assert.deepEqual(decimate([line([], []), line([1], [2])], 0, 3).ys, [[undefined], [2]]);
});

test("beyond the bound each bucket keeps its smallest and largest, in their order", () => {
  const spiky = steps(100_000, (at) => (at === 54_321 ? 1e6 : at === 70_000 ? -1e6 : Math.sin(at / 500)));
  const { x, ys, decimated } = decimate([spiky], 0, 99_999);
  assert.equal(decimated, true);
  assert.ok(x.length <= MAX_POINTS + 6);
  assert.equal(Math.max(...ys[0].filter((y) => y != null)), 1e6);
  assert.equal(Math.min(...ys[0].filter((y) => y != null)), -1e6);
  assert.ok(x.every((time, at) => at === 0 || time > x[at - 1]));
  assert.ok(Math.abs(x[ys[0].indexOf(1e6)] - 54_321) <= 100);
});

test("a gap wider than a bucket stays one, a missing row inside a bucket does not", () => {
  const broken = steps(50_000, (at) => ((at > 20_000 && at < 21_000) || at === 30_000 ? NaN : 1));
  const { x, ys } = decimate([broken], 0, 49_999);
  const at = (time) => ys[0][x.findIndex((one) => one >= time)];
  assert.equal(at(20_500), null);
  assert.notEqual(at(30_000), null);
  assert.equal(ys[0].filter((y) => y === null).length >= 30, true);
});

test("a sliding window keeps its buckets: the picture does not shimmer", () => {
  const noise = steps(60_000, (at) => (at * 7919) % 101);
  const first = decimate([noise], 10_000, 50_000);
  const later = decimate([noise], 10_007, 50_007);
  const before = new Map(first.x.map((time, at) => [time.toFixed(6), first.ys[0][at]]));
  const shared = later.x.map((time, at) => [before.get(time.toFixed(6)), later.ys[0][at]]).slice(4, -6);
  assert.ok(shared.length > 1900);
  assert.ok(shared.every(([was, is]) => was === is));
});

test("five hundred series with times of their own stay within what can be drawn", () => {
  const lines = Array.from({ length: 500 }, (_, one) =>
    line(Array.from({ length: 600 }, (_, at) => at + one / 1000), new Array(600).fill(one)),
  );
  const { x, ys, decimated } = decimate(lines, 0, 600);
  assert.equal(decimated, true);
  assert.ok(x.length <= MAX_POINTS + 6);
  assert.equal(ys.length, 500);
  assert.equal(ys[499].filter((y) => y === 499).length >= 500, true);
});

test("lowerBound", () => {
  assert.deepEqual([0, 1, 1.5, 9].map((time) => lowerBound([1, 2, 2, 3], time)), [0, 0, 1, 4]);
});
