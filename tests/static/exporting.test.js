import assert from "node:assert/strict";
import { test } from "node:test";
import { Series } from "../../tes_nb/static/chart_data.js";
import { csvCell, toCsv } from "../../tes_nb/static/exporting.js";

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
  assert.equal(csv, "time [UTC],a [bytes],'@b\r\n1970-01-01T00:00:01.000Z,5,6\r\n1970-01-01T00:00:01.500Z,,7\r\n");
});

test("a chart of MiB draws bytes, so that it reads MB, and its file has what came", () => {
  const series = new Series({ key: "rss", column: "rss_mb", unit: "MiB" }, 10);
  const own = new Series({ key: "mine", column: "value", unit: "MiB", own_unit: true }, 10);
  for (const one of [series, own]) one.push(1, 12.3, null);
  assert.deepEqual([series.unit, series.ring.lastValue], ["bytes", 12.3 * 2 ** 20]);
  assert.deepEqual([own.unit, own.ring.lastValue], ["MiB", 12.3]); // as its user says
  assert.equal(toCsv([series], 0, 2), "time [UTC],rss_mb [MiB]\r\n1970-01-01T00:00:01.000Z,12.3\r\n");
});
