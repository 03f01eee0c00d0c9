// Numbers, times and file names as people read them. No DOM.

import { wallClock } from "./zone.js";

const STEPS = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const SUFFIX = {
  bytes: "B",
  "bytes/s": "B/s",
  percent: "%",
  ms: " ms",
  s: " s",
  "1/s": "/s",
  "/s": "/s",
  cores: " cores",
  ratio: "",
  "": "",
};
const SCALED = new Set(["bytes", "bytes/s", "", "/s", "1/s"]);
const UNIT_ENDINGS = /_(mb|s|ms|percent|pct|bytes)$/;
export const UNIT_WORDS = { "/s": "per second", "1/s": "per second" };

/** What one of a unit is in the unit in which views show it: all sizes are bytes there, so that all read MB. */
export function inViews(unit) {
  return unit.startsWith("MiB") ? { unit: unit.replace("MiB", "bytes"), factor: 2 ** 20 } : { unit, factor: 1 };
}

/** 1234567, "bytes" → "1.23 MB". NaN, null and undefined → "–". */
export function formatValue(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const suffix = SUFFIX[unit] ?? ` ${unit}`;
  if (unit === "cores") return String(Number(value.toFixed(2))) + suffix; // of a core, less is noise
  if (!SCALED.has(unit)) return digits(value) + suffix;
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(2) + spaced(suffix);
  const [factor, letter] = STEPS.find(([step]) => size >= step) ?? [1, ""];
  const letterApart = suffix.startsWith("B") ? ` ${letter}` : letter;
  return digits(value / factor) + (letter || suffix.startsWith("B") ? letterApart : "") + suffix;
}

function spaced(suffix) {
  return suffix && !suffix.startsWith(" ") && !suffix.startsWith("/") && suffix !== "%" ? ` ${suffix}` : suffix;
}

function digits(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}

/** Unix seconds → "12:03:11" in the page's time zone (zone.js); with the date where it is not today's. */
export function formatTime(seconds, now = Date.now() / 1000) {
  const moment = wallClock(seconds);
  if (Number.isNaN(moment.getTime())) return "–";
  const [date, clock] = moment.toISOString().slice(0, -5).split("T");
  return wallClock(now).toISOString().startsWith(date) ? clock : `${date} ${clock}`;
}

/** [from, to] in Unix seconds → "28 Nov 2026", or "27 Nov 2026 – 28 Nov 2026". */
export function formatDates(from, to) {
  const words = [from, to].map((seconds) => dateWords(wallClock(seconds)));
  return words[0] === words[1] ? words[0] : words.join(" – ");
}

function dateWords(moment) {
  if (Number.isNaN(moment.getTime())) return "–";
  return moment.toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });
}

/** 4.1234 → "4.1 s", 75 → "1 min 15 s", 7300 → "2 h 1 min". */
export function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** Return text of at most `most` characters, never cut through a surrogate pair. */
export function shorten(text, most = 120) {
  if (text.length <= most) return text;
  const end = /[\uD800-\uDBFF]/.test(text[most - 2]) ? most - 2 : most - 1;
  return `${text.slice(0, end)}…`;
}

/** "rss_mb" → "rss" where the unit stands beside it, "home_goals" → "home goals". */
export function columnWords(name, unit = "") {
  const bare = unit ? name.replace(UNIT_ENDINGS, "") : name;
  return bare.replaceAll("_", " ").trim() || name;
}

/** 1, "row" → "1 row"; 2, "row" → "2 rows". */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** A name that every file system takes. */
export function fileName(title, ending) {
  const plain = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "chart";
  const stamp = new Date().toISOString().slice(0, 19).replace(/:/g, "");
  return `${plain}-${stamp}.${ending}`;
}
