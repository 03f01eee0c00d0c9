// What the keys of a scrubber do, and which mark comes next.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nextMark, placeAfter, stepOf } from "../../tes_nb/static/scrubber.js";

test("a key moves by a hundredth of the recording, at least a second, and never beyond its ends", () => {
  assert.equal(stepOf(20), 1);
  assert.equal(stepOf(5400), 54);
  assert.equal(placeAfter("ArrowRight", false, 10, 5400), 64);
  assert.equal(placeAfter("ArrowRight", true, 10, 5400), 11);
  assert.equal(placeAfter("ArrowLeft", false, 10, 5400), 0);
  assert.equal(placeAfter("PageUp", false, 5000, 5400), 5400);
  assert.equal(placeAfter("a", false, 10, 5400), null);
});

test("the next mark is beyond the place, and the one before it is not the one that is there", () => {
  const marks = [{ t: 10 }, { t: 20 }, { t: 30 }];
  assert.equal(nextMark(marks, 20.01, -1).t, 10);
  assert.equal(nextMark(marks, 20, 1).t, 30);
  assert.equal(nextMark(marks, 30, 1), null);
  assert.equal(nextMark([], 5, -1), null);
});
