import assert from "node:assert/strict";
import { test } from "node:test";
import { Annotations, Limits } from "../../tes_nb/static/annotations.js";
import { Series } from "../../tes_nb/static/chart_data.js";

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

test("a band of a held kernel says where it was", () => {
  const annotations = new Annotations();
  annotations.set({ held: [{ start: 100, end: 104.1, label: "kernel held", place: "re.match, cell 7 line 3" }, { start: 200, end: 202, label: "" }] });
  assert.deepEqual(annotations.at(101, 0.1, 300), ["kernel held 4.1 s in re.match, cell 7 line 3"]);
  assert.equal(annotations.at(201, 0.1, 300)[0].includes(" in "), false);
});
