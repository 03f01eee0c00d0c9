import assert from "node:assert/strict";
import { test } from "node:test";
import { ticks, timeTicks, timeWords, valueRange, valueWords } from "../../tes_nb/static/axes.js";
import { csvCell, toCsv } from "../../tes_nb/static/exporting.js";
import { formatDuration, formatValue, shorten } from "../../tes_nb/static/format.js";
import { Limits } from "../../tes_nb/static/limits.js";
import { Series } from "../../tes_nb/static/chart_data.js";

test("values with their units", () => {
  const cases = [
    [1234567, "bytes", "1.23 MB"],
    [0, "bytes", "0 B"],
    [512, "bytes/s", "512 B/s"],
    [99.5, "percent", "99.5%"],
    [3.14159, "ms", "3.14 ms"],
    [12345, "", "12.3k"],
    [0.5, "ratio", "0.5"],
    [2048, "MiB", "2048 MiB"],
    [-5, "", "-5"],
    [1e300, "bytes", "1.00e+300 B"],
    [7, "apples", "7 apples"],
    [NaN, "bytes", "–"],
    [undefined, "", "–"],
    [Infinity, "s", "∞"],
  ];
  for (const [value, unit, words] of cases) assert.equal(formatValue(value, unit), words);
});

test("durations", () => {
  assert.deepEqual([4.12, 59, 75, 7300, NaN].map(formatDuration), ["4.1 s", "59 s", "1 min 15 s", "2 h 1 min", "–"]);
});

test("text is shortened, never through a pair of surrogates", () => {
  assert.equal(shorten("abc", 3), "abc");
  assert.equal(shorten("x".repeat(1_000_000), 5), "xxxx…");
  assert.equal(shorten("ab😀😀", 4), "ab…");
});

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

test("CSV keeps formulas tame, quotes what needs it and leaves gaps empty", () => {
  assert.equal(csvCell("=1+1"), "'=1+1");
  assert.equal(csvCell('a "b", c'), '"a ""b"", c"');
  assert.equal(csvCell(-5), "-5");
  const line = (key, unit, points) => {
    const series = new Series({ key, column: key, unit }, 10);
    for (const [time, value] of points) series.push(time, value, null);
    return series;
  };
  const csv = toCsv([line("a", "bytes", [[1, 5], [2, NaN], [9, 1]]), line("@b", "", [[1, 6], [1.5, 7]])], 1, 3);
  assert.equal(csv, "time,a [bytes],'@b\r\n1970-01-01T00:00:01.000Z,5,6\r\n1970-01-01T00:00:01.500Z,,7\r\n");
});

test("limits are passed by the newest value, each line by itself", () => {
  const series = new Series({ key: "k", column: "cpu", label: "w1", unit: "percent" }, 10);
  const limits = new Limits([{ column: "cpu", above: 90, below: 10 }, { column: "cpu", label: "w2", above: 0 }]);
  series.push(1, 50, null);
  assert.equal(limits.isPassed(series), false);
  assert.deepEqual(limits.of([series]).map(({ words }) => words), ["cpu > 90%", "cpu < 10%"]);
  series.push(2, 95, null);
  assert.equal(limits.isPassed(series), true);
  assert.deepEqual(limits.of([series]).map(({ passed }) => passed), [true, false]);
  series.push(3, NaN, null);
  assert.equal(limits.isPassed(series), false);
});
