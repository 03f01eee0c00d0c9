import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { flat, rowsOf, seconds, snake, timeOf } from "../../tes_nb/static/flatten.js";

const PYTHON = process.env.TES_PYTHON ?? "python3";

/** Each produced stream: its description, a canonical message, and the rows that Python decodes from it. */
const STREAMS = JSON.parse(
  execFileSync(PYTHON, [
    "-c",
    `
import json, math
from tes_nb.model import Message
from tes_nb.streams import all_streams
from tests.support.observations import observation
told = []
for stream in all_streams():
    if stream.producer is None: continue
    message = stream.producer.build(observation())
    payload = json.dumps(message).encode()
    decoded = stream.decode(Message(stream.name, 0, 1, payload, 1, 1, 0, 1))
    tables = [{"name": t.name, "key": list(t.key), "columns": [{"name": c.name, "dtype": c.dtype, "kind": c.kind} for c in t.columns]} for t in stream.tables]
    rows = {name: [[None if isinstance(v, float) and math.isnan(v) else v for v in row] for row in rows] for name, rows in decoded.rows.items()}
    told.append({"name": stream.name, "message": message, "tables": tables, "rows": rows})
print(json.dumps(told))
`,
  ]).toString(),
);

test("names", () => {
  assert.deepEqual(["heapUsed", "user_ms", "requestsPerSecond", "a"].map(snake), ["heap_used", "user_ms", "requests_per_second", "a"]);
});

test("paths become names; vector and data are left out, lists too", () => {
  const found = flat({ type: "t", data: { vector: { others: { errorRate: 0.5, list: [1] } } }, n: null });
  assert.deepEqual(Array.from(found), [["type", "t"], ["others_error_rate", 0.5], ["n", null]]);
  assert.deepEqual(Array.from(flat([1])), []);
  assert.deepEqual(Array.from(flat(null)), []);
});

for (const { name, message, tables, rows } of STREAMS) {
  for (const table of tables.filter((one) => rows[one.name])) {
    test(`${name}: the page reads of table ${table.name} what Python decodes`, () => {
      const times = table.columns.map(({ dtype }) => dtype.startsWith("datetime64"));
      const python = rows[table.name].map((row) => row.map((value, at) => (times[at] && value !== null ? value / 1e9 : value)));
      assert.ok(python.length > 0);
      assert.deepEqual(rowsOf(message, table), python);
    });
  }
}

test("what is not there gives no row, and hostile shapes no error", () => {
  const table = { name: "workers", key: ["id"], columns: [{ name: "id", dtype: "str" }, { name: "n", dtype: "int64" }] };
  for (const message of [null, 5, "x", [], {}, { workers: 5 }, { workers: [1, null] }, { workers: { a: 1 } && {} }]) {
    assert.deepEqual(rowsOf(message, table), []);
  }
  assert.deepEqual(rowsOf({ workers: [{ id: 7, n: "x" }] }, table), [["7", null]]);
  let deep = {};
  for (let at = 0; at < 10_000; at++) deep = { a: deep };
  assert.deepEqual(rowsOf(deep, table), []);
});

test("times", () => {
  assert.equal(seconds(1_700_000_000_000), 1_700_000_000);
  assert.equal(seconds("2026-01-01T00:00:00.500Z"), Date.UTC(2026, 0, 1) / 1000 + 0.5);
  assert.equal(seconds("nonsense"), null);
  assert.equal(timeOf({ timestamp: 5_000_000 }, 5_001), 5_000);
  assert.equal(timeOf({ timestamp: 1 }, 1e9), 1e9);
  assert.equal(timeOf(null, 7), 7);
});
