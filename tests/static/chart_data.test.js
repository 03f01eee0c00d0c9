import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring, Series, SeriesStore } from "../../tes_nb/static/chart_data.js";

const pointsOf = (ring) => {
  const { times, values } = ring.points();
  return [Array.from(times), Array.from(values)];
};

test("a ring keeps the newest points, whatever its size passed through", () => {
  for (const capacity of [1, 2, 3, 100, 1000]) {
    const ring = new Ring(capacity);
    for (let at = 1; at <= 2345; at++) ring.push(at, -at);
    assert.equal(ring.length, capacity);
    const [times, values] = pointsOf(ring);
    assert.deepEqual(times, Array.from({ length: capacity }, (_, place) => 2345 - capacity + 1 + place));
    assert.deepEqual(values, times.map((time) => -time));
    assert.ok(ring.times.length <= Math.max(256, 2 * capacity));
  }
});

test("a clock that was set back gives points in order all the same", () => {
  const ring = new Ring(10);
  for (const time of [10, 11, 12, 5, 6]) ring.push(time, time * 2);
  assert.deepEqual(pointsOf(ring), [[5, 6, 10, 11, 12], [10, 12, 20, 22, 24]]);
  assert.equal(ring.lastTime, 6);
});

test("counters are drawn as rates; a fall, a gap and a standing clock give none", () => {
  const series = new Series({ key: "c", kind: "counter", unit: "bytes" }, 100);
  for (const [time, value] of [[1, 100], [2, 150], [4, 250], [5, 10], [6, 30], [6, 40], [7, NaN], [8, 50], [9, 51]]) {
    series.push(time, value, null);
  }
  assert.equal(series.unit, "bytes/s");
  assert.deepEqual(pointsOf(series.ring)[1], [NaN, 50, 50, NaN, 20, NaN, NaN, NaN, 1]);
});

test("a silence longer than allowed breaks the line", () => {
  const store = new SeriesStore({ breakAfter: 3 });
  store.define([{ key: "a" }]);
  for (const time of [1, 2, 5, 20]) store.pushRow(time, new Map([["a", time]]));
  assert.deepEqual(pointsOf(store.series[0].ring), [[1, 2, 5, 6, 20], [1, 2, 5, NaN, 20]]);
});

test("series come and go; those that stay keep their points", () => {
  const store = new SeriesStore();
  store.define([{ key: "a" }, { key: "b", kind: "counter" }]);
  store.pushRow(1, new Map([["a", 5], ["b", 6], ["nobody", 7]]));
  const before = store.structure;
  store.define([{ key: "b", kind: "gauge" }, { key: "a" }]);
  assert.notEqual(store.structure, before);
  assert.deepEqual(store.series.map(({ key, ring }) => [key, ring.length]), [["b", 0], ["a", 1]]);
});

test("a keyframe replaces all points", () => {
  const store = new SeriesStore();
  const block = (time) => ({ series: [0, 9], times: Float64Array.of(time), values: [Float64Array.of(time), Float64Array.of(0)] });
  store.apply({ keyframe: true, series: [{ key: "a" }], blocks: [block(1), block(2)] });
  store.apply({ keyframe: false, series: null, blocks: [block(3)] });
  assert.equal(store.series[0].ring.length, 3);
  store.apply({ keyframe: true, series: [{ key: "a" }], blocks: [block(4)] });
  assert.deepEqual(pointsOf(store.series[0].ring), [[4], [4]]);
  assert.equal(store.newest, 4);
});

test("many series share the memory there is", () => {
  const store = new SeriesStore();
  store.define(Array.from({ length: 500 }, (_, place) => ({ key: place })));
  assert.ok(store.series[0].ring.capacity * 500 <= 4_000_000);
  assert.ok(store.series[0].ring.capacity >= 2_000);
});
