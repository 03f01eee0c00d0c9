import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageLog } from "../../tes_nb/static/inspector.js";

const message = (id, more = {}) => ({ id, kind: "data", direction: "in", preview: `content ${id}`, ...more });

test("a log keeps the newest, shows the newest first and the undecoded before them", () => {
  const log = new MessageLog(3);
  log.add([message(1), message(2, { undecoded: true }), message(3), message(4)]);
  assert.equal(log.dropped, 1);
  assert.deepEqual(log.visible().map(({ id }) => id), [2, 4, 3]);
  log.filter.undecodedFirst = false;
  assert.deepEqual(log.visible().map(({ id }) => id), [4, 3, 2]);
});

test("filters by text, kind and direction together", () => {
  const log = new MessageLog();
  log.add([message(1), message(2, { direction: "out", kind: "reply" }), message(3, { kind: "reply", outcome: "Schema" })]);
  assert.deepEqual(log.kinds(), ["data", "reply"]);
  Object.assign(log.filter, { kind: "reply", text: "SCHEMA" });
  assert.deepEqual(log.visible().map(({ id }) => id), [3]);
  Object.assign(log.filter, { kind: "", text: "", direction: "out" });
  assert.deepEqual(log.visible().map(({ id }) => id), [2]);
});

test("a paused log stands still and loses nothing", () => {
  const log = new MessageLog();
  log.add([message(1)]);
  log.pause(true);
  log.add([message(2)]);
  assert.deepEqual(log.visible().map(({ id }) => id), [1]);
  log.pause(false);
  assert.deepEqual(log.visible().map(({ id }) => id), [2, 1]);
});
