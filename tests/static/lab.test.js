// The words of JupyterLab's status item, and the modules that it takes from JupyterLab.

import assert from "node:assert/strict";
import test from "node:test";

import { describe, take } from "../../tes_nb/static/lab.js";

const figures = { memory: 812e6, memory_limit: 16e9, cores: 1.234, cores_limit: 4 };

test("memory of its limit, CPU, and the state", () => {
  const { words, title } = describe(figures, { word: "LIVE", text: "" });
  assert.equal(words, "812 MB of 16 GB · 1.23 of 4 cores · LIVE");
  assert.match(title, /^Memory 812 MB of 16 GB, CPU 1.23 of 4 cores\nLIVE\n/);
});

test("how long it has been held stands in the item, why in its title", () => {
  const { words, title } = describe(figures, { word: "held", text: "a cell holds the interpreter, silent for 3 s" });
  assert.equal(words, "812 MB of 16 GB · 1.23 of 4 cores · held 3 s");
  assert.match(title, /held: a cell holds the interpreter/);
});

test("what is not known is left out, and without figures there is the state alone", () => {
  const unknown = { memory: null, memory_limit: null, cores: null, cores_limit: null };
  assert.equal(describe(unknown, { word: "LIVE", text: "" }).words, "– · – cores · LIVE");
  assert.equal(describe(null, { word: "WAITING", text: "the kernel has not answered yet" }).words, "WAITING");
});

test("the version that JupyterLab has loaded is taken, else the last; none gives no names", async () => {
  const version = (name, loaded) => ({ loaded, get: async () => () => ({ name }) });
  const scope = { a: { "1.0": version("one", 1), "2.0": version("two") }, b: { "1.0": version("one"), "2.0": version("two") } };
  assert.deepEqual([await take(scope, "a"), await take(scope, "b"), await take(scope, "c")], [{ name: "one" }, { name: "two" }, {}]);
});
