// What a socket of the collector says, in one form for all sources. No DOM.
//
// A source that the collector makes speaks plain JSON, flattened by its description. What a peer sends is decoded by the
// collector (`/ws/rows/…`): rows, and the state of the connection behind it.

import { rowsOf, timeOf } from "./flatten.js";

const PREVIEW_CHARS = 300;
const encoder = new TextEncoder();

/**
 * @typedef {{t: number, rows: Map<string, any[][]>, shown: object, payload: Uint8Array, seq: number | null, age: number}}
 *   Read a message: its tables' rows, how an inspector lists it, its number, and how many seconds ago it came
 */

/** Read one message of a plain source. @returns {{messages: Read[], events: object[]}} */
export function readPlain(text, source, now) {
  const payload = encoder.encode(text);
  const message = parsed(text);
  const undecoded = message === undefined;
  const t = undecoded ? now : timeOf(message, now);
  const rows = undecoded ? [] : source.tables.map((table) => [table.name, rowsOf(message, table)]);
  const shown = {
    t: now,
    direction: "in",
    kind: String(message?.type ?? source.name),
    size: payload.length,
    inflated: payload.length,
    undecoded,
    outcome: undecoded ? `${source.name}: this is no JSON` : source.name,
    preview: text.slice(0, PREVIEW_CHARS),
  };
  return { messages: [{ t, rows: new Map(rows), shown, payload, seq: null, age: 0 }], events: [] };
}

/** Read one message of `/ws/rows/…`. @returns {{messages: Read[], events: object[]}} */
export function readRows(text, source) {
  const items = parsed(text)?.items;
  const messages = [];
  const events = [];
  for (const item of Array.isArray(items) ? items : []) {
    if (item.type === "message") messages.push(decodedRows(item, source));
    else events.push(item);
  }
  return { messages, events };
}

function decodedRows(item, source) {
  const shown = {
    t: item.t,
    direction: item.direction,
    kind: item.direction === "out" ? "sent" : String(item.kind),
    size: item.size,
    inflated: item.inflated,
    decode_ms: item.decode_ms,
    undecoded: item.kind === "undecoded",
    outcome: `${source.name}: ${item.outcome}`,
    preview: item.text.slice(0, PREVIEW_CHARS),
  };
  return { t: item.t, rows: new Map(Object.entries(item.rows)), shown, payload: encoder.encode(item.text), seq: item.seq, age: item.age_s };
}

/** undefined = this is no JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}
