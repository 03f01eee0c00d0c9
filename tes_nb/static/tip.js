// The small box beside the cursor: time, and what is marked there.

import { make } from "./dom.js";
import { formatTime } from "./format.js";

export class Tip {
  constructor() {
    this.element = make("div", { class: "tes-tip", role: "note", hidden: true });
  }

  /** Show `words` at `left` pixels within the plot of `panel`; no words = hide. */
  show(panel, left, time, words) {
    if (!words.length) return this.hide();
    const lines = [formatTime(time), ...words.slice(0, 6)];
    if (words.length > 6) lines.push(`and ${words.length - 6} more`);
    this.element.replaceChildren(...lines.map((text) => make("div", { text })));
    this.element.hidden = false;
    const over = panel.querySelector(".u-over");
    const offset = (over?.getBoundingClientRect().left ?? 0) - this.element.parentElement.getBoundingClientRect().left;
    const room = this.element.parentElement.clientWidth - this.element.offsetWidth;
    this.element.style.left = `${Math.max(0, Math.min(room, offset + left + 12))}px`;
    this.element.style.top = `${panel.offsetTop + 30}px`;
  }

  hide() {
    this.element.hidden = true;
  }
}
