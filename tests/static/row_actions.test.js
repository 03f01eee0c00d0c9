import assert from "node:assert/strict";
import { test } from "node:test";

import { refusal, stackText } from "../../tes_nb/static/row_actions.js";

const STACK = {
  refusals: [
    { where: { status: ["terminated"] }, why: "ended" },
    { where: { kind: ["dask"], pid: [null] }, why: "elsewhere" },
    { where: { status: ["error"], threads: [null], pid: null }, why: "died" },
  ],
};

test("a row says why an action makes no sense with it", () => {
  assert.equal(refusal(STACK, { status: "idle", kind: "process", pid: 1, threads: 3 }), "");
  assert.equal(refusal(STACK, { status: "terminated", kind: "process", pid: 1 }), "ended");
  assert.equal(refusal(STACK, { status: "idle", kind: "dask", pid: null }), "elsewhere");
  assert.equal(refusal(STACK, { status: "idle", kind: "dask", pid: 5 }), "");
  assert.equal(refusal(STACK, { status: "error", kind: "process", pid: 5, threads: null }), "died");
  assert.equal(refusal(STACK, { status: "error", kind: "process", pid: 5, threads: 2 }), "");
  assert.equal(refusal(STACK, { status: "error", kind: "process" }), "", "what is no process is in error, and lives");
});

test("a stack reads like a traceback: the innermost call last, the user's own marked", () => {
  const frames = [
    { function: "sleep", file: "time.py", line: 3, mine: false },
    { function: "inner", file: "cell 7", line: 2, mine: true },
  ];
  const text = stackText({ pid: 4, place: "inner, cell 7 line 2", door: "faulthandler", took_ms: 1.5, threads: [{ name: "main", frames }] });
  assert.deepEqual(text.split("\n"), [
    "process 4, inner, cell 7 line 2 (faulthandler, 1.5 ms)",
    "main:",
    "> inner, cell 7 line 2",
    "  sleep, time.py line 3",
  ]);
});
