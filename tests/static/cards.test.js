import assert from "node:assert/strict";
import { test } from "node:test";
import { groupColumns, mood, sparkPath } from "../../tes_nb/static/cards.js";

test("cards are grouped by the first word of a name; single ones stand together", () => {
  const names = (groups) => Array.from(groups, ([name, members]) => [name, members.map(({ short }) => short)]);
  const columns = ["sessions_tmux", "sessions_active_workers", "tmux", "others_cpu"].map((name) => ({ name }));
  assert.deepEqual(names(groupColumns(columns)), [["sessions", ["tmux", "active workers"]], ["", ["tmux", "others cpu"]]]);
});

test("words have moods", () => {
  assert.deepEqual(["normal", "Degraded", "isolated", "elsewhere", 5, null].map(mood), ["good", "warn", "bad", "plain", "plain", "plain"]);
});

test("trends bear whatever comes", () => {
  assert.equal(sparkPath([]), "");
  assert.equal(sparkPath([NaN, null, Infinity]), "");
  assert.equal(sparkPath([5]), "M0.0 13.0");
  assert.equal(sparkPath([0, 1]), "M0.0 24.0L110.0 2.0");
  assert.equal((sparkPath([1, NaN, 2, 3]).match(/M/g) ?? []).length, 2);
  assert.ok(!/NaN|Infinity/.test(sparkPath([1e300, -1e300, 0])));
});
