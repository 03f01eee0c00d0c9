// Buttons for what changes something: mark, record, stop, scale. Their outcome is a sentence beside them.

import { button, make, setText } from "./dom.js";
import { ControlError } from "./control.js";

export class Controls {
  /** @param {import("./control.js").Control} control */
  constructor(el, control) {
    this.control = control;
    /** Where the recording goes that was begun here; null = none was. */
    this.path = null;
    this.outcome = make("span", { class: "tes-detail", role: "status" });
    this.label = make("input", { type: "text", maxlength: 200, placeholder: "Label", "aria-label": "Label of the mark" });
    this.count = make("input", { type: "number", min: 0, max: 64, value: 2, "aria-label": "Number of workers" });
    const run = (words, op, args, done) => button(words, `${words}: needs the session's token, once`, undefined, () => this.run(op, args(), done));
    this.element = make("div", { class: "tes-bar tes-controls", role: "toolbar", "aria-label": "Controls" }, [
      this.label,
      run("Mark", "mark", () => ({ label: this.label.value || "mark" }), () => "Marked."),
      this.count,
      run("Scale workers", "scale", () => ({ count: Number(this.count.value) }), scaled),
      run("Record", "record", () => ({}), (result) => this.began(result)),
      run("Stop recording", "stop", () => (this.path ? { path: this.path } : {}), (result) => this.ended(result)),
      this.outcome,
    ]);
    el.append(this.element);
  }

  began({ path }) {
    this.path = path;
    return `Recording to ${path}.`;
  }

  ended({ path, messages }) {
    this.path = null;
    return `Recorded ${messages} messages: ${path}.`;
  }

  async run(op, args, done) {
    setText(this.outcome, "…");
    try {
      const result = await this.control.call(op, args);
      setText(this.outcome, done(result));
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      setText(this.outcome, error.message);
    }
  }
}

function scaled(result) {
  return `${result?.created ?? 0} created, ${result?.terminated ?? 0} terminated.`;
}
