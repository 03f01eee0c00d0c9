import assert from "node:assert/strict";
import { test } from "node:test";
import { CellKind, Rows } from "../../tes_nb/static/rows.js";

const COLUMNS = [
  { name: "id", dtype: "str", kind: "label" },
  { name: "rss", dtype: "float64", unit: "MiB", kind: "gauge" },
  { name: "since", dtype: "datetime64[ns, UTC]", kind: "time" },
];
const rows = (...list) => {
  const one = new Rows(COLUMNS);
  one.apply({ rows: list.map(([key, ...values]) => [key, [key, ...values]]) });
  return one;
};
const keys = (one) => one.visible().map(({ key }) => key);

test("rows are kept by key, in the order in which they first came", () => {
  const one = rows(["b", 1], ["a", 2]);
  one.apply({ rows: [["c", ["c", 3]], ["b", ["b", 9]]] });
  assert.deepEqual(keys(one), ["b", "a", "c"]);
  assert.equal(one.byKey.get("b").values[1], 9);
  one.apply({ gone: ["a", "nobody"] });
  assert.deepEqual(keys(one), ["b", "c"]);
  one.apply({ rows: [["c", ["c", 3]]], replace: true });
  assert.deepEqual(keys(one), ["c"]);
});

test("only what changed counts as changed", () => {
  const one = rows(["a", 1, null]);
  const before = one.byKey.get("a").version;
  one.apply({ rows: [["a", ["a", 1, undefined]]] });
  assert.equal(one.byKey.get("a").version, before);
  one.apply({ rows: [["a", ["a", 2, null]]] });
  assert.deepEqual(one.byKey.get("a").changed, [false, true, false]);
});

test("sorting: numbers by size, text with numbers in it, absent last both ways", () => {
  const one = rows(["w10", 5, null], ["w9", null, 30], ["w2", -1, 20]);
  one.turnSort(1);
  assert.deepEqual(keys(one), ["w2", "w10", "w9"]);
  one.turnSort(1);
  assert.deepEqual(keys(one), ["w10", "w2", "w9"]);
  one.turnSort(1);
  assert.deepEqual(keys(one), ["w10", "w9", "w2"]);
  one.turnSort(0);
  assert.deepEqual(keys(one), ["w2", "w9", "w10"]);
});

test("the sort stays while rows change", () => {
  const one = rows(["a", 1], ["b", 2], ["c", 3]);
  one.turnSort(1);
  one.apply({ rows: [["a", ["a", 10]]] });
  assert.deepEqual(keys(one), ["b", "c", "a"]);
  one.apply({ rows: [["d", ["d", 2.5]]] });
  assert.deepEqual(keys(one), ["b", "d", "c", "a"]);
});

test("the filter looks at the text of every cell, also of changed ones", () => {
  const one = rows(["alpha", 1], ["beta", 222]);
  one.setFilter("ALPH ");
  assert.deepEqual(keys(one), ["alpha"]);
  one.setFilter("233 mb");
  assert.deepEqual(keys(one), ["beta"]);
  one.apply({ rows: [["alpha", ["alpha", 222]]] });
  assert.deepEqual(keys(one), ["alpha", "beta"]);
  one.setFilter(".*(");
  assert.deepEqual(keys(one), []);
});

test("ten thousand rows are sorted and filtered well within a repaint", () => {
  const list = Array.from({ length: 10_000 }, (_, at) => [`w${at}`, (at * 7919) % 10_007, at]);
  const one = rows(...list);
  one.turnSort(1);
  one.visible();
  const began = performance.now();
  one.apply({ rows: list.map(([key, value, since]) => [key, [key, value + 1, since]]) });
  assert.equal(one.visible().length, 10_000);
  assert.ok(performance.now() - began < 1000);
});

test("a word of the wire that misleads is shown in other words, also to the filter", () => {
  const kind = new CellKind({ name: "telemetry", dtype: "category", kind: "label", words: { degraded: "no workers" } });
  assert.deepEqual(["degraded", "healthy", null].map((value) => kind.text(value)), ["no workers", "healthy", ""]);
});

test("sizes read MB, whatever unit their stream has", () => {
  const [mib, bytes] = ["MiB", "bytes"].map((unit) => new CellKind({ name: "rss", dtype: "float64", unit, kind: "gauge" }));
  mib.fit([1, 200]);
  bytes.fit([2 ** 20, 200 * 2 ** 20]);
  assert.deepEqual([mib.title, mib.cell(200)], [bytes.title, bytes.cell(200 * 2 ** 20)]);
  assert.deepEqual([mib.title, mib.cell(200)], ["rss [MB]", "209.72"]);
});
