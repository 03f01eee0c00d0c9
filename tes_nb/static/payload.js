// A payload as people can read it: JSON and XML with indents, else text, else hex. No DOM: the result is plain text.

const MOST_CHARS = 200_000;
const HEX_BYTES = 16 * 1024;
const MAX_DEPTH = 200;

/**
 * @param {Uint8Array} bytes
 * @param {"auto" | "json" | "xml" | "text" | "hex"} form
 * @returns {{form: string, text: string}} the form that it was shown in, which is "hex" or "text" where the given one fails
 */
export function readable(bytes, form = "auto") {
  if (form === "hex") return { form, text: hexDump(bytes) };
  const text = decode(bytes);
  if (text === null) return { form: "hex", text: hexDump(bytes) };
  const start = text.trimStart()[0];
  const target = form !== "auto" ? form : start === "<" ? "xml" : start === "{" || start === "[" ? "json" : "text";
  const pretty = { json: prettyJson, xml: prettyXml, text: (plain) => plain }[target](text);
  return pretty === null ? { form: "text", text: cut(text) } : { form: target, text: cut(pretty) };
}

function decode(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    // control characters are what tells binary from text
    return /[\x00-\x08\x0e-\x1f]/.test(text.slice(0, 4096)) ? null : text;
  } catch {
    return null;
  }
}

/** Indented as it came: numbers, order and doubled keys are kept as they are, which parsing would not do. */
export function prettyJson(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const out = [];
  let depth = 0;
  const line = () => out.push("\n", "  ".repeat(Math.min(depth, MAX_DEPTH)));
  const tokens = text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  let before = "";
  for (const [token] of tokens) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    if (before === "," || ((before === "{" || before === "[") && !closes) || (closes && before !== "{" && before !== "[")) line();
    out.push(token === ":" ? ": " : token);
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return out.join("");
}

/** One tag a line, indented; nothing is parsed, expanded or left out. null = these are no tags. */
export function prettyXml(text) {
  const parts = text.match(/<!\[CDATA\[[\s\S]*?\]\]>|<!--[\s\S]*?-->|<[^>]*>|[^<]+/g);
  if (parts === null || parts.join("") !== text) return null;
  const out = [];
  let depth = 0;
  for (const part of parts) {
    const plain = part.trim();
    if (!plain) continue;
    if (/^<\//.test(plain)) depth = Math.max(0, depth - 1);
    out.push("  ".repeat(Math.min(depth, MAX_DEPTH)) + plain);
    if (/^<[^!?/]/.test(plain) && !/\/>$/.test(plain)) depth += 1;
  }
  return out.join("\n");
}

/** Offset, sixteen bytes, and what of them is ASCII. */
export function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, HEX_BYTES); at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.padEnd(47)}  ${ascii}`);
  }
  if (bytes.length > HEX_BYTES) lines.push(`… ${bytes.length - HEX_BYTES} bytes more`);
  return lines.join("\n");
}

function cut(text) {
  return text.length <= MOST_CHARS ? text : `${text.slice(0, MOST_CHARS)}\n… ${text.length - MOST_CHARS} characters more`;
}
