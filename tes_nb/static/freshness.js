// Is what you see true now? Judged in the browser, since a dead kernel cannot say that it is dead. No DOM, no timer:
// the clock (a function that returns Unix seconds) is passed in.
//
//     LIVE     ticks come
//     POLLING  ticks come, by HTTP polling
//     WAITING  no tick has come yet
//     STALE    no tick for three periods, or the peer is away: since when
//     LOST     kernel or collector gone: since when, and what to do
//     PAUSED   nobody looked or touched anything for long: nothing is sent; or a replay is paused
//     CLOSED   ended on purpose; or a replay has come to its end

export const STALE_PERIODS = 3;
export const SILENT_S = 10;
const WORDS_THAT_SPEAK = { POLLING: "POLLING", CLOSED: "CLOSED", LOST: "LOST", PAUSED: "PAUSED", ENDED: "CLOSED" };

export class Honest {
  /**
   * @param {{periodS: number, clock: () => number, silent?: string}} options
   *   periodS: the longest silence that is normal; silent: what to say when nothing at all came for 10 s.
   */
  constructor({ periodS, clock, silent = "" }) {
    this.periodS = periodS;
    this.clock = clock;
    this.silent = silent;
    this.began = clock();
    this.lastTick = null;
    this.lastWord = this.began;
    this.upstream = null;
    this.gone = null;
    this.paused = null;
  }

  /** New data came; age: so many seconds ago, where it was kept meanwhile. */
  tick(age = 0) {
    this.lastWord = this.clock();
    this.lastTick = this.lastWord - age;
    this.gone = this.paused = null;
  }

  /** The other side said something, not necessarily data. */
  heard() {
    this.lastWord = this.clock();
    this.gone = null;
  }

  /** The upstream's own state: {word, text, since?}; null = nothing is known. */
  setUpstream(state) {
    this.upstream = state;
  }

  /** Kernel or collector is gone: why, and what to do. */
  lost(why, whatToDo) {
    if (this.gone === null) this.gone = { since: this.clock(), why, whatToDo };
  }

  /** Nothing is sent any more, on purpose; the sentence says why. */
  pause(sentence) {
    this.paused = { since: this.clock(), sentence };
  }

  /** The view is looked at again: silence counts from now. */
  resume() {
    this.paused = null;
    this.began = this.lastWord = this.clock();
    if (this.lastTick !== null) this.lastTick = this.began;
  }

  /** @returns {{word: string, since: number | null, text: string}} */
  judge() {
    const now = this.clock();
    if (this.paused) return { word: "PAUSED", since: this.paused.since, text: this.paused.sentence };
    if (this.gone) return lost(this.gone.since, this.gone.why, this.gone.whatToDo);
    if (this.upstream?.word === "CLOSED") return { word: "CLOSED", since: null, text: this.upstream.text };
    if (now - this.lastWord > Math.max(SILENT_S, STALE_PERIODS * this.periodS)) {
      return this.silent ? lost(this.lastWord, "nothing was heard", this.silent) : this.stale(now);
    }
    if (this.upstream && !["OPEN", "POLLING"].includes(this.upstream.word)) return this.away();
    return this.ofTicks(now);
  }

  ofTicks(now) {
    if (this.lastTick === null) {
      if (now - this.began <= Math.max(SILENT_S, STALE_PERIODS * this.periodS)) {
        return { word: "WAITING", since: this.began, text: "no data yet" };
      }
      return this.stale(now);
    }
    if (now - this.lastTick > STALE_PERIODS * this.periodS) return this.stale(now);
    if (this.upstream?.word === "POLLING") return { word: "POLLING", since: null, text: this.upstream.text ?? "" };
    return { word: "LIVE", since: null, text: "" };
  }

  stale(now) {
    const since = this.lastTick ?? this.began;
    const what = this.lastTick === null ? "no data has come" : "nothing came";
    return { word: "STALE", since, text: `${what} for ${Math.floor(now - since)} s` };
  }

  away() {
    const word = WORDS_THAT_SPEAK[this.upstream.word] ?? "STALE";
    return { word, since: this.upstream.since ?? this.lastTick, text: this.upstream.text ?? this.upstream.word };
  }
}

function lost(since, why, whatToDo) {
  return { word: "LOST", since, text: whatToDo ? `${why}. ${whatToDo}` : why };
}

/** The longest normal silence in seconds; null = any is normal. */
export function periodOf(spec) {
  if (spec.period_s === null) return Infinity;
  return Number(spec.period_s) > 0 ? Number(spec.period_s) : 1;
}
