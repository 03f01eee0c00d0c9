import assert from "node:assert/strict";
import { test } from "node:test";
import { timeTicks, timeWords } from "../../tes_nb/static/axes.js";
import { formatDates, formatTime } from "../../tes_nb/static/format.js";
import { chooseZone, isoTime, offsetAt, otherZone, setUsualZone, usualZone, zone, zoneWords } from "../../tes_nb/static/zone.js";

const AT = (text) => Date.parse(text) / 1000;

function inZone(name, act) {
  chooseZone(name);
  try {
    act();
  } finally {
    chooseZone(null);
  }
}

test("times, dates and files are on the zone's clocks, with its distance from UTC", () => {
  inZone("Europe/Berlin", () => {
    const summer = AT("2026-07-01T22:30:00Z");
    assert.equal(formatTime(summer, summer), "00:30:00");
    assert.equal(formatTime(summer, AT("2026-07-01T12:00:00Z")), "2026-07-02 00:30:00");
    assert.equal(formatDates(summer - 7200, summer), "1 Jul 2026 – 2 Jul 2026");
    assert.equal(zoneWords(summer), "Europe/Berlin (UTC+2)");
    assert.equal(isoTime(summer + 0.25), "2026-07-02T00:30:00.250+02:00");
  });
  inZone("Asia/Kolkata", () => assert.equal(zoneWords(AT("2026-07-01T00:00:00Z")), "Asia/Kolkata (UTC+5:30)"));
  inZone("America/St_Johns", () => assert.equal(isoTime(AT("2026-01-01T00:00:00Z")), "2025-12-31T20:30:00.000-03:30"));
  inZone("UTC", () => assert.equal(isoTime(0), "1970-01-01T00:00:00.000Z"));
  for (const strange of [NaN, Infinity, 1e300]) assert.equal(isoTime(strange), "");
});

test("offsets are right on both sides of a change of clocks", () => {
  inZone("Europe/Berlin", () => {
    assert.equal(offsetAt(AT("2026-10-25T00:59:59Z")), 7200);
    assert.equal(offsetAt(AT("2026-10-25T01:00:00Z")), 3600);
    assert.equal(offsetAt(AT("2026-03-29T00:59:59Z")), 3600);
    assert.equal(offsetAt(AT("2026-03-29T01:00:00Z")), 7200);
  });
});

test("ticks stay round over a change of clocks, and none is there twice", () => {
  inZone("Europe/Berlin", () => {
    for (const [from, to] of [["2026-10-24T16:00:00Z", "2026-10-25T16:00:00Z"], ["2026-03-28T16:00:00Z", "2026-03-29T16:00:00Z"]]) {
      const ticks = timeTicks(AT(from), AT(to), 6);
      const words = timeWords(ticks);
      assert.ok(ticks.length >= 4, words.join());
      assert.equal(new Set(ticks).size, ticks.length);
      assert.ok(words.every((word) => /^(\d\d-\d\d|(00|03|04|06|08|09|12|15|16|18|20|21):00)$/.test(word)), words.join());
    }
  });
});

test("the reader's choice goes before the kernel's option, and that before the browser's zone", () => {
  setUsualZone("Asia/Tokyo");
  assert.deepEqual([zone(), usualZone(), otherZone()], ["Asia/Tokyo", "Asia/Tokyo", "UTC"]);
  inZone("UTC", () => assert.deepEqual([zone(), otherZone()], ["UTC", null]));
  setUsualZone("No/Where");
  assert.equal(zone(), Intl.DateTimeFormat().resolvedOptions().timeZone);
});
