// Is what you see true now? Judged in the browser, since a dead kernel cannot say that it is dead. No DOM, no timer:
// the clock (a function that returns Unix seconds) is passed in.
//
//     LIVE     ticks come
//     POLLING  ticks come, by HTTP polling
//     WAITING  no tick has ever come, whatever the reason
//     STALE    no tick for three periods, or the peer is away: since when
//     LOST     kernel or collector gone: since when, and what to do
//     PAUSED   held still by whoever looks; or nobody looked for long: nothing is sent; or a replay is paused
//     CLOSED   ended on purpose; or a replay has come to its end

export const STALE_PERIODS = 3;
const SILENT_S = 10;
const UPSTREAM_WORDS = { POLLING: "POLLING", CLOSED: "CLOSED", LOST: "LOST", PAUSED: "PAUSED", ENDED: "CLOSED" };

export class Freshness {
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
    this.lastContact = this.began;
    this.upstream = null;
    this.outage = null;
    this.pause = null;
    this.held = null;
  }

  /** New data came; age: so many seconds ago, where it was stored meanwhile. */
  tick(age = 0) {
    this.lastContact = this.clock();
    this.lastTick = this.lastContact - age;
    this.outage = this.pause = null;
  }

  /** The other side said something, not necessarily data. */
  heartbeat() {
    this.lastContact = this.clock();
    this.outage = null;
  }

  /** The upstream's own state: {word, text, since?}; null = nothing is known. */
  setUpstream(state) {
    this.upstream = state;
  }

  /** Kernel or collector is gone: why, and what to do. */
  setOutage(why, whatToDo) {
    if (this.outage === null) this.outage = { since: this.clock(), why, whatToDo };
  }

  /** Nothing is sent any more, on purpose; the sentence says why. */
  suspend(sentence) {
    this.pause = { since: this.clock(), sentence };
  }

  /** Whoever looks holds the view still, or lets it go on; what comes is stored meanwhile. */
  hold(held) {
    this.held = held ? { since: this.clock() } : null;
  }

  /** The view is looked at again: silence counts from now. */
  resume() {
    this.pause = null;
    this.began = this.lastContact = this.clock();
    if (this.lastTick !== null) this.lastTick = this.began;
  }

  /** @returns {{word: string, since: number | null, text: string}} */
  status() {
    const now = this.clock();
    if (this.pause) return { word: "PAUSED", since: this.pause.since, text: this.pause.sentence };
    if (this.outage) return lost(this.outage.since, this.outage.why, this.outage.whatToDo);
    if (this.held) return { word: "PAUSED", since: this.held.since, text: "" };
    if (this.upstream?.word === "CLOSED") return { word: "CLOSED", since: null, text: withoutWord("CLOSED", this.upstream.text) };
    // a kernel sends heartbeats, however seldom its stream has data; a page has nothing but the data
    if (now - this.lastContact > (this.silent ? SILENT_S : Math.max(SILENT_S, STALE_PERIODS * this.periodS))) {
      if (this.silent) return lost(this.lastContact, "nothing was heard", this.silent);
      return this.lastTick === null ? this.waiting() : this.stale(now);
    }
    if (this.upstream && !["OPEN", "POLLING"].includes(this.upstream.word)) return this.ofUpstream();
    return this.ofTicks(now);
  }

  ofTicks(now) {
    if (this.lastTick === null) return this.waiting();
    if (now - this.lastTick > STALE_PERIODS * this.periodS) return this.stale(now);
    if (this.upstream?.word === "POLLING") return { word: "POLLING", since: null, text: withoutWord("POLLING", this.upstream.text) };
    return { word: "LIVE", since: null, text: "" };
  }

  /** What never came cannot be out of date, however long it takes. */
  waiting() {
    return { word: "WAITING", since: this.began, text: "no data yet" };
  }

  stale(now) {
    return { word: "STALE", since: this.lastTick, text: `nothing came for ${Math.floor(now - this.lastTick)} s` };
  }

  ofUpstream() {
    const word = UPSTREAM_WORDS[this.upstream.word] ?? (this.lastTick === null ? "WAITING" : "STALE");
    const text = withoutWord(word, this.upstream.text ?? this.upstream.word);
    return { word, since: this.upstream.since ?? this.lastTick, text };
  }
}

/** A state's text begins with its word, which stands before it already: "LOST: gone" → "gone". */
export function withoutWord(word, text = "") {
  const rest = String(text ?? "");
  return rest === word || rest.startsWith(`${word}:`) || rest.startsWith(`${word} `) ? rest.slice(word.length).replace(/^[:·\s]+/, "") : rest;
}

function lost(since, why, whatToDo) {
  return { word: "LOST", since, text: whatToDo ? `${why}. ${whatToDo}` : why };
}

/** The longest normal silence in seconds; null = any is normal. */
export function periodOf(spec) {
  if (spec.period_s === null) return Infinity;
  return Number(spec.period_s) > 0 ? Number(spec.period_s) : 1;
}
