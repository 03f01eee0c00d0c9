import assert from "node:assert/strict";
import { test } from "node:test";
import { ticks, timeTicks, timeWords, valueRange, valueWords } from "../../tes_nb/static/axes.js";

test("axis ranges include zero, have air, and bear anything", () => {
  assert.deepEqual(valueRange(null, null, []), [0, 1.06]);
  assert.deepEqual(valueRange(0, 0, []), [0, 1.06]);
  assert.deepEqual(valueRange(5, 100, []), [0, 106]);
  assert.deepEqual(valueRange(-100, -5, []), [-106, 0]);
  assert.ok(valueRange(-1e305, 1e305, []).every(Number.isFinite));
  assert.ok(valueRange(0, 80, [90])[1] > 90);
  assert.ok(valueRange(0, 1, [90])[1] < 2);
});

test("ticks are round and few, also where numbers are huge", () => {
  assert.deepEqual(ticks(0, 100, 5), [0, 20, 40, 60, 80, 100]);
  assert.ok(ticks(0, 1e300, 5).length >= 3);
  assert.ok(ticks(0, 1e300, 5).length < 12);
  assert.deepEqual(ticks(0, 0, 5), []);
  assert.deepEqual(ticks(0, Infinity, 5), []);
  assert.equal(new Set(valueWords([1_000_000, 1_000_100, 1_000_200], "bytes")).size, 3);
});

test("time ticks are round in the reader's time zone", () => {
  const low = Date.UTC(2026, 7, 3, 12, 0, 7) / 1000;
  const found = timeTicks(low, low + 300, 5);
  assert.ok(found.length >= 4 && found.length <= 7);
  assert.ok(found.every((time) => time % 60 === 0));
  assert.match(timeWords(found)[0], /^\d\d:\d\d$/);
  assert.match(timeWords(timeTicks(low, low + 2, 4))[0], /^\d\d:\d\d:\d\d\.\d$/);
  assert.match(timeWords(timeTicks(low, low + 30 * 86_400, 4))[0], /^\d\d-\d\d$/);
});
