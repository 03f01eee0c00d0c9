import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, formatValue, shorten } from "../../tes_nb/static/format.js";

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
