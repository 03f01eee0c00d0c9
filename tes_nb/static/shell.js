// What every view has around it: a badge for its freshness, a title, tools, a sentence when something must be said.

import { keepKeys, make, setText } from "./dom.js";
import { formatTime } from "./format.js";
import { Freshness, periodOf } from "./freshness.js";
import { setUsualZone } from "./zone.js";

/** How often a view asks itself whether what it shows is still true. */
export const FRESHNESS_MS = 500;

/** The badge that says whether the view is true now. The word is announced, the running seconds are not. */
export class Badge {
  constructor() {
    this.word = make("span", { class: "tes-state", role: "status" });
    this.detail = make("span", { class: "tes-detail" });
    this.element = make("span", { class: "tes-badge" }, [this.word, this.detail]);
  }

  /** @param {{word: string, since: number | null, text: string}} status */
  paint({ word, since, text }, now) {
    setText(this.word, word);
    this.word.dataset.word = word;
    const from = since === null || since === undefined || word === "WAITING" ? "" : `since ${formatTime(since, now)}`;
    setText(this.detail, [from, text].filter(Boolean).join(": "));
  }
}

export class Shell {
  /**
   * @param {HTMLElement} el
   * @param {{title?: string, period_s?: number, silent?: string}} spec
   * @param {{kind: string, paint: () => void, clock?: () => number}} options kind: the class name that the view's style
   *   goes by; paint: paints what is inside, after `requestPaint` in the next frame
   */
  constructor(el, spec, { kind, paint, clock = () => Date.now() / 1000 }) {
    if ("tz" in spec) setUsualZone(spec.tz);
    this.clock = clock;
    this.paint = paint;
    this.frame = 0;
    this.title = String(spec.title ?? kind);
    this.freshness = new Freshness({ periodS: periodOf(spec), clock, silent: spec.silent ?? "" });
    this.badge = new Badge();
    this.tools = make("span", { class: "tes-tools" });
    this.sentence = make("p", { class: "tes-sentence", hidden: true });
    this.body = make("div", { class: "tes-body" });
    const bar = make("div", { class: "tes-bar" }, [
      this.badge.element,
      make("span", { class: "tes-title", text: this.title }),
      this.tools,
    ]);
    this.root = make("section", { class: `tes tes-${kind}`, "aria-label": this.title }, [bar, this.sentence, this.body]);
    keepKeys(this.root);
    el.append(this.root);
    this.visible = true;
    this.timer = setInterval(() => this.paintBadge(), FRESHNESS_MS);
    this.paintBadge();
  }

  /** Apply {upstream, sentence, rowless}; what is left out stays. rowless: messages came, and no rows in them. */
  setState(state) {
    if ("upstream" in state) this.freshness.setUpstream(state.upstream);
    if (typeof state.sentence === "string") this.say(state.sentence);
    if (state.rowless) this.freshness.tick();
    else this.freshness.heartbeat();
    this.paintBadge();
  }

  say(sentence) {
    this.sentence.hidden = !sentence;
    setText(this.sentence, sentence);
  }

  /** Paint in the next frame; nothing is painted while nobody can see it. */
  requestPaint() {
    if (this.frame || !this.visible) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
      this.paintBadge();
    });
  }

  paintBadge() {
    if (this.visible) this.badge.paint(this.freshness.status(), this.clock());
  }

  setVisible(visible) {
    if (visible && !this.visible) this.freshness.resume();
    if (!visible) this.paintBadge(); // the last word stays on the screen: it must not be an old one
    this.visible = visible;
    this.paintBadge();
    if (visible) this.requestPaint();
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    clearInterval(this.timer);
    this.root.remove();
  }
}
