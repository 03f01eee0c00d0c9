// The one time zone of all times on a page: the browser's own, unless the kernel's options or the reader say another.
// No DOM. Each widget is a module of its own, so that what was chosen stands beside them all.

const SHARED = Symbol.for("tes_nb.zone");
const EVENT = "tes-zone";
const BUCKET_S = 900;
const MOST_OFFSETS = 5_000;

const state = (globalThis[SHARED] ??= { usual: null, chosen: null });
const offsets = new Map();

/** The zone that the browser is set to. */
export function homeZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** The zone in which times are shown, as "Europe/Berlin". */
export function zone() {
  return state.chosen ?? state.usual ?? homeZone();
}

/** The zone without the reader's choice: `tes.options.tz`, else the browser's. */
export function usualZone() {
  return state.usual ?? homeZone();
}

/** Take the zone of a kernel's options, null = the browser's. A name that the browser does not know counts as null. */
export function setUsualZone(name) {
  state.usual = name && isKnown(name) ? name : null;
}

/** Show times in this zone, null = in the usual one, in all views of the page. */
export function chooseZone(name) {
  state.chosen = name;
  globalThis.dispatchEvent?.(new Event(EVENT));
}

/** Call `changed` after each choice; return the function that ends it. */
export function watchZone(changed) {
  globalThis.addEventListener?.(EVENT, changed);
  return () => globalThis.removeEventListener?.(EVENT, changed);
}

function isKnown(name) {
  try {
    formatterOf(name);
    return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}

const formatters = new Map();

function formatterOf(name) {
  if (!formatters.has(name)) {
    const parts = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
    formatters.set(name, new Intl.DateTimeFormat("en-US", { timeZone: name, hourCycle: "h23", era: "short", ...parts }));
  }
  return formatters.get(name);
}

/** Seconds that the zone's clocks are ahead of UTC at this time (Unix seconds). */
export function offsetAt(seconds) {
  const name = zone();
  if (name === "UTC" || !Number.isFinite(seconds) || Math.abs(seconds) > 8.64e12) return 0;
  const key = `${name} ${Math.floor(seconds / BUCKET_S)}`; // no clock is changed but at a quarter of an hour
  let offset = offsets.get(key);
  if (offset === undefined) {
    if (offsets.size > MOST_OFFSETS) offsets.clear();
    offset = findOffset(name, Math.floor(seconds / BUCKET_S) * BUCKET_S);
    offsets.set(key, offset);
  }
  return offset;
}

function findOffset(name, seconds) {
  const parts = Object.fromEntries(formatterOf(name).formatToParts(seconds * 1000).map(({ type, value }) => [type, value]));
  const year = parts.era === "BC" ? 1 - Number(parts.year) : Number(parts.year);
  const local = Date.UTC(year, Number(parts.month) - 1, Number(parts.day), Number(parts.hour), Number(parts.minute), Number(parts.second));
  return Math.round((local - seconds * 1000) / 1000);
}

/** A Date whose UTC parts are what the zone's clocks show at this time. */
export function wallClock(seconds) {
  return new Date((seconds + offsetAt(seconds)) * 1000);
}

/** "UTC", "UTC+2", "UTC+5:30". */
export function offsetWords(seconds) {
  const minutes = Math.round(offsetAt(seconds) / 60);
  if (minutes === 0) return "UTC";
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

/** "Europe/Berlin (UTC+2)", or "UTC" alone. */
export function zoneWords(seconds) {
  const name = zone();
  return name === "UTC" ? name : `${name} (${offsetWords(seconds)})`;
}

/** Whose clocks times are of, in a word: "Berlin time", "UTC". */
export function clockWords() {
  return zone() === "UTC" ? "UTC" : `${zone().split("/").pop().replaceAll("_", " ")} time`;
}

/** "2026-11-28T01:55:35.250+01:00"; with "Z" in UTC. "" = there is no such time. */
export function isoTime(seconds) {
  const moment = wallClock(seconds);
  if (Number.isNaN(moment.getTime())) return "";
  const minutes = Math.round(offsetAt(seconds) / 60);
  const two = (number) => String(number).padStart(2, "0");
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  return moment.toISOString().replace("Z", minutes === 0 ? "Z" : offset);
}

/** The zone that a choice between UTC and the usual one leads to; null = the usual one. */
export function otherZone() {
  if (zone() !== "UTC") return "UTC";
  return usualZone() === "UTC" ? homeZone() : null;
}
