// From a stream's JSON message to rows of its tables, by the tables' description alone. No DOM.
//
// A wire path becomes a column's name: `vector.others.errorRate` → `others_error_rate`. A table with a key takes its
// rows from the object or list that is called like the table: {"workers": {"w1": {…}}}.

const DROPPED = new Set(["vector", "data"]);
const MAX_DEPTH = 12;

/** `heapUsed` → `heap_used`. */
export function snake(name) {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return a Map of flat snake_case name → value; lists are left out. */
export function flat(value) {
  const found = new Map();
  const walk = (part, path, depth) => {
    for (const [name, inner] of Object.entries(part)) {
      const here = path.length === 0 && DROPPED.has(name) ? path : [...path, snake(name)];
      if (isObject(inner)) depth < MAX_DEPTH && walk(inner, here, depth + 1);
      else if (!Array.isArray(inner) && here.length) found.set(here.join("_"), inner);
    }
  };
  if (isObject(value)) walk(value, [], 0);
  return found;
}

/** Return what is found under a property of this name, the outermost first; undefined = nowhere. */
function named(message, name, depth = 0) {
  if (!isObject(message) || depth > MAX_DEPTH) return undefined;
  const entries = Object.entries(message);
  const own = entries.find(([key, value]) => snake(key) === name && typeof value === "object" && value !== null);
  if (own) return own[1];
  for (const [, value] of entries) {
    const inner = named(value, name, depth + 1);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

/**
 * Return the rows that a message has for a table, in the order of its columns; absent is null. No rows = none of its
 * columns are in the message.
 *
 * @param {any} message parsed JSON
 * @param {{name: string, key?: string[], columns: {name: string, dtype: string, kind: string}[]}} table
 */
export function rowsOf(message, table) {
  const part = named(message, table.name);
  if (table.key?.length) return part === undefined ? [] : keyedRows(part, table);
  const found = new Map([...flat(message), ...(isObject(part) ? flat(part) : [])]);
  return oneRow(found, table);
}

function keyedRows(part, table) {
  const [key] = table.key;
  const entries = Array.isArray(part) ? part.map((inner) => [undefined, inner]) : Object.entries(part);
  const others = table.columns.filter(({ name }) => name !== key);
  return entries.flatMap(([name, inner]) => {
    if (isObject(inner)) {
      const found = flat(inner);
      if (name !== undefined && !found.has(key)) found.set(key, name);
      return oneRow(found, table);
    }
    if (name === undefined || others.length !== 1) return [];
    return oneRow(new Map([[key, name], [others[0].name, inner]]), table);
  });
}

function oneRow(found, table) {
  const row = table.columns.map((column) => cell(lookUp(found, column.name), column));
  return row.some((value) => value !== null) ? [row] : [];
}

/** A column may leave out the beginning of its path where what is left is clear: rss_mb ← resource_usage_rss_mb. */
function lookUp(found, name) {
  if (found.has(name)) return found.get(name);
  const longer = Array.from(found.keys()).filter((path) => path.endsWith(`_${name}`));
  return longer.length === 1 ? found.get(longer[0]) : null;
}

function cell(value, column) {
  if (value === null || value === undefined) return null;
  if (String(column.dtype).startsWith("datetime64")) return seconds(value);
  if (/^(float|int)/i.test(column.dtype)) return typeof value === "number" ? value : null;
  return column.dtype === "boolean" ? Boolean(value) : String(value);
}

/** Unix milliseconds or ISO 8601 → Unix seconds; null for anything else. */
export function seconds(value) {
  const ms = typeof value === "number" ? value : Date.parse(String(value));
  return Number.isFinite(ms) ? ms / 1000 : null;
}

/** When a message was sent, Unix seconds: its own `timestamp` if it is near `now`, else now. */
export function timeOf(message, now) {
  const told = typeof message?.timestamp === "number" ? message.timestamp / 1000 : NaN;
  return Math.abs(told - now) < 3600 ? told : now;
}
