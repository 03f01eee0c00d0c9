import assert from "node:assert/strict";
import { test } from "node:test";
import { hexDump, prettyJson, prettyXml, readable } from "../../tes_nb/static/payload.js";

const bytes = (text) => new TextEncoder().encode(text);

test("JSON is indented as it came: numbers, order and doubled keys stay", () => {
  const text = '{"b":1.10,"a":[1,{"x":"a,b:{}\\"["}],"b":12345678901234567890,"e":{},"l":[]}';
  assert.equal(
    prettyJson(text),
    [
      "{",
      '  "b": 1.10,',
      '  "a": [',
      "    1,",
      "    {",
      '      "x": "a,b:{}\\"["',
      "    }",
      "  ],",
      '  "b": 12345678901234567890,',
      '  "e": {},',
      '  "l": []',
      "}",
    ].join("\n"),
  );
  assert.equal(prettyJson("{broken"), null);
});

test("XML is one tag a line, nothing expanded, nothing lost", () => {
  assert.equal(prettyXml('<c refresh="0"><h><![CDATA[1^2<b>]]></h><x/></c>'), '<c refresh="0">\n  <h>\n    <![CDATA[1^2<b>]]>\n  </h>\n  <x/>\n</c>');
  assert.equal(prettyXml("<a>&entity;</a>"), "<a>\n  &entity;\n</a>");
  assert.equal(prettyXml("<broken"), null);
});

test("each payload is shown in the form it has, else as text, else in hex", () => {
  const form = (text, wanted) => readable(bytes(text), wanted).form;
  assert.deepEqual([form("[1]"), form(" <a/>"), form("ok"), form("{nope")], ["json", "xml", "text", "text"]);
  assert.deepEqual([form("[1]", "hex"), form("[1]", "text"), form("nope", "json")], ["hex", "text", "text"]);
  assert.equal(readable(Uint8Array.of(0x78, 0x9c, 0xff, 0)).form, "hex");
  assert.equal(readable(new Uint8Array(0)).text, "");
});

test("long payloads are cut, and say so", () => {
  assert.match(readable(bytes("x".repeat(1_000_000))).text, /800000 characters more$/);
  assert.match(hexDump(new Uint8Array(20_000)), /3616 bytes more$/);
});

test("a hex dump shows offset, bytes and ASCII", () => {
  assert.equal(hexDump(bytes("Hi\n")), `00000000  ${"48 69 0a".padEnd(47)}  Hi.`);
});
