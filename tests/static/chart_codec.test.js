import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { AppendError, unpack } from "../../tes_nb/static/chart_codec.js";

const PYTHON = process.env.TES_PYTHON ?? "python3";

/** What Python packs, as an ArrayBuffer. */
function packed(code) {
  const prelude = "import sys, numpy as np; from tes_nb.views.chart_codec import Block, pack; ";
  const out = execFileSync(PYTHON, ["-c", `${prelude}sys.stdout.buffer.write(${code})`], { maxBuffer: 1 << 28 });
  return out.buffer.slice(out.byteOffset, out.byteOffset + out.byteLength);
}

test("reads what Python packs", () => {
  const buffer = packed(
    `pack(7, [Block([0, 2, 1], np.array([1.5, 2.5]), np.array([[1, np.nan], [-3, 4e300], [np.inf, 6]])),
              Block([3], np.array([9.0]), np.array([[8.0]]))],
          keyframe=True, series=[{"key": "k", "label": "Łódź <b>", "column": "c", "unit": "", "kind": "gauge"}])`,
  );
  const append = unpack(buffer);
  assert.equal(append.keyframe, true);
  assert.equal(append.sequence, 7);
  assert.deepEqual(append.series, [{ key: "k", label: "Łódź <b>", column: "c", unit: "", kind: "gauge" }]);
  assert.deepEqual(Array.from(append.blocks[0].series), [0, 2, 1]);
  assert.deepEqual(Array.from(append.blocks[0].times), [1.5, 2.5]);
  assert.deepEqual(append.blocks[0].values.map((column) => Array.from(column)), [[1, NaN], [-3, 4e300], [Infinity, 6]]);
  assert.deepEqual(Array.from(append.blocks[1].values[0]), [8]);
});

test("reads an empty append, and one inside a larger buffer", () => {
  const empty = unpack(packed("pack(2**32 + 3, [])"));
  assert.deepEqual([empty.sequence, empty.series, empty.blocks, empty.keyframe], [3, null, [], false]);
  const one = new Uint8Array(packed("pack(1, [Block([0], np.array([1.0]), np.array([[2.0]]))])"));
  const larger = new Uint8Array(one.length + 5);
  larger.set(one, 5);
  const append = unpack(new DataView(larger.buffer, 5, one.length));
  assert.deepEqual(Array.from(append.blocks[0].values[0]), [2]);
});

test("every cut of an append is refused, none misread", () => {
  const whole = packed('pack(1, [Block([0, 1], np.arange(3.0), np.ones((2, 3)))], series=[{"key": "a"}, {"key": "b"}])');
  for (let size = 0; size < whole.byteLength; size++) {
    assert.throws(() => unpack(whole.slice(0, size)), (error) => error instanceof AppendError || error instanceof SyntaxError);
  }
});

test("another version and another maker are refused in a sentence", () => {
  const bytes = new Uint8Array(packed("pack(1, [])"));
  const other = bytes.slice();
  other[4] = 9;
  assert.throws(() => unpack(other.buffer), /version 9.*reload/);
  assert.throws(() => unpack(new ArrayBuffer(64)), AppendError);
});
