// The controls of a replay: play, pause, speed, and a track to drag along, with the marks and gaps of the recording.
//
// A drag shows where it leads and goes there when it ends, since going back delivers everything anew (decisions/0011).

import { ControlError, NO_ANSWER } from "./control.js";
import { button, enable, keepKeys, make, setText } from "./dom.js";
import { count, formatDuration, formatTime, shorten } from "./format.js";
import { chooseZone, homeZone, offsetWords, otherZone, usualZone, watchZone, zone } from "./zone.js";

const SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 500];
/** Keys come in a row: one goes there when they have come to rest. */
const REST_MS = 250;
let scrubbers = 0;

/** Seconds that an arrow key moves: a hundredth of the recording, at least one. */
export function stepOf(length) {
  return Math.max(1, Math.round(length / 100));
}

/** Where a key leads from `place`, in seconds from the beginning; null = it is none of ours. */
export function placeAfter(key, shift, place, length) {
  const step = shift ? 1 : stepOf(length);
  const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -10 * step, PageUp: 10 * step }[key];
  if (by === undefined) return null;
  return Math.max(0, Math.min(length, place + by));
}

/** The mark before (sign -1) or behind (1) a time, by a little more than what lies between two messages; null = none. */
export function nextMark(marks, time, sign) {
  const beyond = marks.filter(({ t }) => sign * (t - time) > 0.05);
  return (sign > 0 ? beyond[0] : beyond[beyond.length - 1]) ?? null;
}

export class Scrubber {
  /**
   * @param {HTMLElement} el
   * @param {{call: (op: string, args: object) => Promise<object>}} control
   * @param {() => void} [asked] called after each change, to ask how things are
   */
  constructor(el, control, asked = () => {}) {
    this.control = control;
    this.asked = asked;
    this.status = null;
    this.marks = [];
    this.gaps = [];
    /** Where the reader is dragging to, or has asked for, in seconds from the beginning; null = nowhere. */
    this.target = null;
    this.waiting = 0;
    this.build(el);
    this.stopZone = watchZone(() => this.paint());
    this.paint();
  }

  build(el) {
    this.play = button("Play", "", undefined, () => this.steer({ do: this.isPlaying() ? "pause" : "resume" }));
    this.play.classList.add("tes-play");
    this.before = button("◂ Mark", "", undefined, () => this.goToMark(-1));
    this.behind = button("Mark ▸", "", undefined, () => this.goToMark(1));
    this.speed = make("select", { "aria-label": "Speed", on: { change: () => this.steer({ speed: Number(this.speed.value) }) } });
    this.state = make("span", { class: "tes-state" });
    this.clock = make("span", { class: "tes-title" });
    this.where = make("span", { class: "tes-detail" });
    this.zone = button("UTC", "", "false", () => chooseZone(otherZone()));
    this.outcome = make("span", { class: "tes-detail", role: "status" });
    this.flags = make("div", { class: "tes-flags", "aria-hidden": "true" });
    const list = `tes-scrubber-${++scrubbers}`;
    this.slider = make("input", { type: "range", class: "tes-track", min: 0, max: 1, step: "any", value: 0, "aria-label": "Time of the recording", "aria-describedby": list });
    this.slider.addEventListener("input", () => this.drag(Number(this.slider.value)));
    this.slider.addEventListener("change", () => this.goTo(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => this.onKey(event));
    this.summary = make("p", { class: "tes-detail tes-track-words", id: list });
    this.element = make("section", { class: "tes tes-scrubber", role: "group", "aria-label": "Replay" }, [
      make("div", { class: "tes-bar", role: "toolbar", "aria-label": "Replay" }, [
        this.play,
        this.speed,
        this.before,
        this.behind,
        this.state,
        this.clock,
        this.where,
        this.zone,
        this.outcome,
      ]),
      make("div", { class: "tes-rail" }, [this.flags, this.slider]),
      this.summary,
    ]);
    keepKeys(this.element);
    el.append(this.element);
  }

  // What comes in ---------------------------------------------------------------------------------------------------

  /** @param {object | null} states what `controls` answers; null = the collector does not answer */
  setStates(states) {
    const replay = states?.replay ?? null;
    this.status = replay && {
      ...replay,
      began: replay.began_ns / 1e9,
      ended: replay.ended_ns / 1e9,
      at: replay.place_ns / 1e9,
      length: Math.max(0, (replay.ended_ns - replay.began_ns) / 1e9),
    };
    if (this.target !== null && !this.waiting && this.dragging !== true && replay?.settled !== false) this.target = null;
    this.paint();
  }

  /** @param {{marks: object[], gaps: object[]} | null} track what `track` answers */
  setTrack(track) {
    this.marks = (track?.marks ?? []).map(({ at_ns, label }) => ({ t: at_ns / 1e9, label: shorten(String(label), 200) }));
    this.gaps = (track?.gaps ?? []).map((gap) => ({
      start: gap.from_ns / 1e9,
      end: gap.to_ns === null ? null : gap.to_ns / 1e9,
      words: `${gap.source ?? "all"}: nothing received, ${shorten(String(gap.cause), 200)}`,
    }));
    this.drawn = null;
    this.paint();
  }

  // What the reader does --------------------------------------------------------------------------------------------

  isPlaying() {
    return this.status?.word === "PLAYING";
  }

  drag(place) {
    this.dragging = true;
    this.target = place;
    this.paint();
  }

  /** Go to a place, in seconds from the beginning; several in a row are one. */
  goTo(place, restMs = 0) {
    this.dragging = false;
    if (!this.status) return; // the collector does not answer just now
    this.target = place;
    this.paint();
    clearTimeout(this.timer);
    const { began, length } = this.status;
    // the ends by name: a time in seconds is too coarse to meet the first message or to lie behind the last one
    const share = place <= 0 ? 0 : place >= length ? 1 : null;
    const args = share === null ? { seek_ns: Math.round((began + place) * 1e9) } : { seek_share: share };
    this.timer = setTimeout(() => this.steer(args), restMs);
  }

  goToMark(sign) {
    const mark = nextMark(this.marks, this.time(), sign);
    if (mark) this.goTo(mark.t - this.status.began);
  }

  onKey(event) {
    if (!this.status || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") this.play.click();
    const place = placeAfter(event.key, event.shiftKey, this.time() - this.status.began, this.status.length);
    if (place !== null) this.goTo(place, REST_MS);
    if (event.key === " " || place !== null) event.preventDefault();
  }

  async steer(args) {
    this.waiting += 1;
    setText(this.outcome, "");
    try {
      const replay = await this.control.call("replay", args);
      this.waiting -= 1;
      this.setStates({ replay });
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      this.waiting -= 1;
      this.target = null;
      setText(this.outcome, error.message);
      this.paint();
    }
    this.asked();
  }

  // Painting --------------------------------------------------------------------------------------------------------

  /** The moment that is shown: where the reader wants to go, else where the replay is. */
  time() {
    return this.target === null ? this.status.at : this.status.began + this.target;
  }

  paint() {
    const { status } = this;
    const why = status ? (status.length > 0 ? "" : "The recording holds less than two messages.") : NO_ANSWER;
    const words = this.isPlaying() ? "Pause" : status?.word === "ENDED" ? "Play again" : "Play";
    setText(this.play, words);
    enable(this.play, this.isPlaying() ? "Hold the replay still (space on the track)" : "Let the replay go on (space on the track)", why);
    enable(this.slider, "Drag to a time. Arrow keys move by a hundredth, with Shift by a second; Home and End go to the ends", why);
    enable(this.speed, "Recorded seconds a second", why);
    for (const [step, sign, which] of [[this.before, -1, "before"], [this.behind, 1, "behind"]]) {
      const mark = status && nextMark(this.marks, this.time(), sign);
      enable(step, `Go to the mark ${which}: ${mark?.label}`, why || (mark ? "" : `There is no mark ${which} this place.`));
    }
    this.state.hidden = !status;
    if (!status) return;
    setText(this.state, status.word);
    this.state.dataset.word = this.isPlaying() ? "LIVE" : "";
    this.paintPlace(status);
    this.paintSpeed(status);
    this.paintTrack(status);
    this.element.setAttribute("aria-label", `Replay of ${status.name}`);
  }

  paintPlace({ began, at, length }) {
    const time = this.time();
    const place = Math.max(0, Math.min(length, this.target ?? at - began)); // not by way of the time, which is too coarse for it
    setText(this.clock, formatTime(time));
    setText(this.where, `${offsetWords(time)} · ${formatDuration(place)} of ${formatDuration(length)}${this.target === null ? "" : " · going there"}`);
    this.slider.max = String(length);
    if (Number(this.slider.value) !== place) this.slider.value = String(place);
    this.slider.setAttribute("aria-valuetext", `${formatTime(time)}, ${formatDuration(place)} of ${formatDuration(length)}`);
    this.zone.hidden = usualZone() === "UTC" && homeZone() === "UTC";
    this.zone.title = `Times are in ${zone()}; a click shows ${otherZone() ?? usualZone()}`;
    this.zone.setAttribute("aria-pressed", String(zone() === "UTC"));
  }

  paintSpeed({ speed }) {
    if (this.speeds !== speed) {
      this.speeds = speed;
      const choices = Array.from(new Set([...SPEEDS, ...(speed ? [speed] : [])])).sort((a, b) => a - b);
      const options = choices.map((one) => make("option", { value: one, text: `${one} ×` }));
      this.speed.replaceChildren(...options, make("option", { value: 0, text: "max", title: "As fast as it goes" }));
    }
    if (document.activeElement !== this.speed || !this.waiting) this.speed.value = String(speed);
  }

  /** Marks are flags, gaps are hatched bands; both say on hover what they are. */
  paintTrack({ began, length, name }) {
    const drawn = `${began} ${length}`;
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    const share = (time) => Math.max(0, Math.min(1, length ? (time - began) / length : 0)) * 100;
    const bands = this.gaps.map(({ start, end, words }) => {
      const band = make("span", { class: "tes-track-gap", title: `${formatTime(start)} ${words}` });
      band.style.left = `${share(start)}%`;
      band.style.width = `max(2px, ${share(end ?? began + length) - share(start)}%)`;
      return band;
    });
    const flags = this.marks.map((mark) => {
      const on = { click: () => this.goTo(mark.t - began) };
      const flag = make("span", { class: "tes-track-mark", title: `${formatTime(mark.t)} ${mark.label}`, text: "⚑", on });
      flag.style.left = `${share(mark.t)}%`;
      return flag;
    });
    this.flags.replaceChildren(...bands, ...flags);
    setText(this.summary, `${name}: ${count(this.marks.length, "mark")} ⚑, ${count(this.gaps.length, "gap")}${this.gaps.length ? " (hatched)" : ""}`);
  }

  destroy() {
    clearTimeout(this.timer);
    this.stopZone();
    this.element.remove();
  }
}
