// Lanes: how changes become spans.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LaneData, spanAt } from "../../tes_nb/static/lanes.js";
import { SharedZoom, zoomed } from "../../tes_nb/static/axes.js";

const change = (time, state, end = null) => ["workers · 7", "python 7", time, state, state, "", end];

test("a state lasts until the next one, and the last one until now", () => {
  const data = new LaneData();
  data.add("workers", [change(1, "idle"), change(3, "working"), change(4, "working"), change(5, null)]);
  data.add("workers", [change(8, "error")]);
  data.set({ feeds: [{ name: "workers", begin: 0, end: 10, gaps: [{ start: 6, end: null, label: "gone" }] }] });
  const [worker, feed] = data.rows();
  assert.deepEqual(worker.spans.map(({ start, end, state }) => [start, end, state]), [[1, 3, "idle"], [3, 5, "working"], [8, 10, "error"]]);
  assert.deepEqual(feed.spans.map(({ start, end, look }) => [start, end, look]), [[0, 10, "open"], [6, 10, "gap"]]);
  assert.equal(spanAt(worker, 6), null);
  assert.equal(spanAt(feed, 7).text, "gone");
  data.forget("workers");
  assert.equal(data.rows().length, 1);
});

test("all that share a zoom show the same stretch, and one that is none is none", () => {
  const zoom = new SharedZoom();
  let changes = 0;
  const stop = zoom.watch(() => (changes += 1));
  zoom.set([1, 5]);
  assert.deepEqual(zoom.range, [1, 5]);
  zoom.set([5, 5]);
  assert.equal(zoom.range, null);
  stop();
  zoom.set([1, 2]);
  assert.equal(changes, 2);
  assert.deepEqual(zoomed([0, 10], 0.5), [2.5, 7.5]);
});

test("of very many lanes those go that ended longest ago", () => {
  const data = new LaneData();
  data.add("workers", [["open", "open", 0, "idle", "idle", "", null]]);
  for (let n = 1; n <= 1_000; n++) data.add("workers", [[`w${n}`, `w${n}`, n, "idle", "idle", "", n + 0.5]]);
  const names = data.rows().map(({ name }) => name);
  assert.equal(names.length, 900);
  assert.ok(names.includes("open") && names.includes("w1000") && !names.includes("w101") && names.includes("w102"));
});
