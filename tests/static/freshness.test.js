import assert from "node:assert/strict";
import { test } from "node:test";
import { Freshness, withoutWord } from "../../tes_nb/static/freshness.js";

function watched({ periodS = 1, silent = "Restart." } = {}) {
  const clock = { now: 1000 };
  const freshness = new Freshness({ periodS, clock: () => clock.now, silent });
  const after = (seconds, say = () => {}) => {
    clock.now += seconds;
    say();
    return freshness.status();
  };
  return { freshness, after };
}

test("LIVE while ticks come, STALE after three periods, since the last tick", () => {
  const { freshness, after } = watched();
  assert.equal(after(0).word, "WAITING");
  assert.deepEqual(after(1, () => freshness.tick()), { word: "LIVE", since: null, text: "" });
  assert.equal(after(3).word, "LIVE");
  assert.deepEqual(after(0.5), { word: "STALE", since: 1001, text: "nothing came for 3 s" });
  assert.equal(after(1, () => freshness.tick()).word, "LIVE");
});

test("the period is the stream's own", () => {
  const { freshness, after } = watched({ periodS: 0.5 });
  after(0, () => freshness.tick());
  assert.equal(after(1.5).word, "LIVE");
  assert.equal(after(0.1).word, "STALE");
  const slow = watched({ periodS: 60 });
  slow.after(0, () => slow.freshness.tick());
  for (let round = 0; round < 59; round++) assert.equal(slow.after(3, () => slow.freshness.heartbeat()).word, "LIVE");
  assert.equal(slow.after(9, () => slow.freshness.heartbeat()).word, "STALE");
});

test("LOST when nothing at all is heard, with what to do; heard again, it is not", () => {
  const { freshness, after } = watched({ silent: "Restart the kernel." });
  after(0, () => freshness.tick());
  assert.equal(after(9).word, "STALE");
  const lost = after(2);
  assert.deepEqual([lost.word, lost.since], ["LOST", 1000]);
  assert.match(lost.text, /Restart the kernel/);
  assert.equal(after(1, () => freshness.heartbeat()).word, "STALE");
  assert.equal(after(1, () => freshness.tick()).word, "LIVE");
});

test("a kernel that sends heartbeats is there, though its stream is silent", () => {
  const { freshness, after } = watched();
  after(0, () => freshness.tick());
  for (let round = 0; round < 20; round++) assert.notEqual(after(3, () => freshness.heartbeat()).word, "LOST");
  assert.equal(freshness.status().word, "STALE");
});

test("LOST at once when told so, and since when first told", () => {
  const { freshness, after } = watched();
  after(0, () => freshness.tick());
  assert.deepEqual(after(1, () => freshness.setOutage("the kernel was restarted", "Run the cell again")), {
    word: "LOST",
    since: 1001,
    text: "the kernel was restarted. Run the cell again",
  });
  assert.equal(after(5, () => freshness.setOutage("again", "")).since, 1001);
});

test("POLLING is said, and a peer that is away is STALE with its own words", () => {
  const { freshness, after } = watched();
  after(0, () => freshness.tick());
  freshness.setUpstream({ word: "POLLING", text: "the peer pushes nothing" });
  assert.equal(after(1, () => freshness.tick()).word, "POLLING");
  freshness.setUpstream({ word: "WAITING", text: "WAITING 4 s: connection refused", since: 990 });
  assert.deepEqual(after(0), { word: "STALE", since: 990, text: "WAITING 4 s: connection refused" });
  freshness.setUpstream({ word: "CLOSED", text: "ended by stop()" });
  assert.equal(after(100).word, "CLOSED");
  freshness.setUpstream({ word: "LOST", text: "the collector has ended" });
  freshness.heartbeat();
  assert.equal(freshness.status().word, "LOST");
});

test("without any tick: WAITING, however long", () => {
  const { freshness, after } = watched({ silent: "" });
  assert.equal(after(9).word, "WAITING");
  assert.deepEqual(after(300), { word: "WAITING", since: 1000, text: "no data yet" });
  assert.equal(after(1, () => freshness.tick()).word, "LIVE");
});

test("what never came WAITS, though its peer is away", () => {
  const { freshness, after } = watched();
  freshness.setUpstream({ word: "WAITING", text: "WAITING 4 s: connection refused" });
  assert.deepEqual(after(1), { word: "WAITING", since: null, text: "4 s: connection refused" });
  freshness.setUpstream({ word: "FAILED", text: "FAILED 404: HTTP 404", since: 990 });
  assert.deepEqual(after(1), { word: "WAITING", since: 990, text: "FAILED 404: HTTP 404" });
  after(1, () => freshness.tick());
  assert.equal(after(1).word, "STALE");
});

test("a stream without a period is LOST with its kernel, which sends heartbeats", () => {
  const { freshness, after } = watched({ periodS: Infinity });
  after(0, () => freshness.tick());
  for (let round = 0; round < 20; round++) assert.equal(after(3, () => freshness.heartbeat()).word, "LIVE");
  assert.equal(after(11).word, "LOST");
});

test("a view that was not looked at is not called stale for that", () => {
  const { freshness, after } = watched();
  after(0, () => freshness.tick());
  assert.equal(after(3600, () => freshness.resume()).word, "LIVE");
  assert.equal(after(4).word, "STALE");
  freshness.suspend("nobody is there");
  assert.deepEqual([after(1).word, freshness.status().text], ["PAUSED", "nobody is there"]);
  assert.equal(after(1, () => freshness.tick()).word, "LIVE");
});

test("PAUSED while whoever looks holds it still, since then; a loss is said all the same", () => {
  const { freshness, after } = watched({ silent: "Restart the kernel." });
  after(0, () => freshness.tick());
  assert.deepEqual(after(1, () => freshness.hold(true)), { word: "PAUSED", since: 1001, text: "" });
  assert.equal(after(5, () => freshness.tick()).word, "PAUSED");
  assert.equal(after(1, () => freshness.setOutage("the kernel has ended")).word, "LOST");
  assert.equal(after(1, () => freshness.tick()).word, "PAUSED");
  assert.equal(after(1, () => freshness.hold(false)).word, "LIVE");
});

test("a state's word is not said twice", () => {
  assert.equal(withoutWord("LOST", "LOST: the collector has ended"), "the collector has ended");
  assert.equal(withoutWord("OPEN", "OPEN"), "");
  assert.equal(withoutWord("POLLING", "POLLING /api/status"), "/api/status");
  assert.equal(withoutWord("CLOSED", "recorded in friday.tes"), "recorded in friday.tes");
  assert.equal(withoutWord("LOST", "LOSTING"), "LOSTING");
  const { freshness, after } = watched();
  after(0, () => freshness.tick());
  freshness.setUpstream({ word: "LOST", text: "LOST: no connection to the collector · 1 gap" });
  assert.deepEqual(after(0).text, "no connection to the collector · 1 gap");
  freshness.setUpstream({ word: "PAUSED", text: "PAUSED · replay" });
  assert.deepEqual([after(0).word, after(0).text], ["PAUSED", "replay"]);
});
