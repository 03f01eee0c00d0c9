// What every view has around it: the state's badge, a title, tools, a sentence when something must be said.

import { keepKeys, make, setText } from "./dom.js";
import { Honest, periodOf } from "./freshness.js";
import { Badge } from "./chart_controls.js";

const JUDGE_MS = 500;

export class Shell {
  /**
   * @param {HTMLElement} el
   * @param {{title?: string, period_s?: number, silent?: string}} spec
   * @param {{kind: string, clock?: () => number}} given kind: the class name that the view's style goes by
   */
  constructor(el, spec, { kind, clock = () => Date.now() / 1000 }) {
    this.clock = clock;
    this.title = String(spec.title ?? kind);
    this.honest = new Honest({ periodS: periodOf(spec), clock, silent: spec.silent ?? "" });
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
    this.timer = setInterval(() => this.judge(), JUDGE_MS);
    this.judge();
  }

  /** Take {upstream, sentence}; what is left out stays. */
  setState(state) {
    if ("upstream" in state) this.honest.setUpstream(state.upstream);
    if (typeof state.sentence === "string") this.say(state.sentence);
    this.honest.heard();
    this.judge();
  }

  say(sentence) {
    this.sentence.hidden = !sentence;
    setText(this.sentence, sentence);
  }

  judge() {
    if (this.visible) this.badge.paint(this.honest.judge(), this.clock());
  }

  setVisible(visible) {
    if (visible && !this.visible) this.honest.resume();
    if (!visible) this.judge(); // the last word stays on the screen: it must not be an old one
    this.visible = visible;
    this.judge();
  }

  destroy() {
    clearInterval(this.timer);
    this.root.remove();
  }
}
