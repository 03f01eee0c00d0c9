import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped, mood } from "../../tes_nb/static/cards.js";
import { backoff, socketUrl } from "../../tes_nb/static/connection.js";
import { sparkPath } from "../../tes_nb/static/spark.js";

const at = (address) => new URL(address);

test("where a stream's socket is: here, on the other port, behind a proxy", () => {
  const cases = [
    ["http://127.0.0.1:3002/", 3002, "ws://127.0.0.1:3002/ws/x"],
    ["http://127.0.0.1:3002/#metrics", 3003, "ws://127.0.0.1:3003/ws/x"],
    ["http://[::1]:3002/", 3003, "ws://[::1]:3003/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", 3002, "wss://hub.example/user/me/proxy/3002/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", 3003, "wss://hub.example/user/me/proxy/3003/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", null, "wss://hub.example/user/me/proxy/3002/ws/x"],
    ["http://localhost/", null, "ws://localhost/ws/x"],
    ["http://h:8888/proxy/absolute/3002/", 3003, "ws://h:8888/proxy/absolute/3003/ws/x"],
  ];
  for (const [address, port, url] of cases) assert.equal(socketUrl(at(address), port, "/ws/x"), url);
});

test("pauses grow, keep half of themselves, and have an end", () => {
  assert.equal(backoff(0, () => 0), 0.25);
  assert.equal(backoff(3, () => 1), 4);
  assert.equal(backoff(50, () => 1), 10);
  assert.ok(Array.from({ length: 100 }, () => backoff(4)).every((pause) => pause >= 4 && pause <= 8));
});

test("cards are grouped by the first word of a name; single ones stand together", () => {
  const names = (groups) => Array.from(groups, ([name, members]) => [name, members.map(({ short }) => short)]);
  const columns = ["sessions_tmux", "sessions_active_workers", "tmux", "others_cpu"].map((name) => ({ name }));
  assert.deepEqual(names(grouped(columns)), [["sessions", ["tmux", "active workers"]], ["", ["tmux", "others cpu"]]]);
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
