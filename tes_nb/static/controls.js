// Buttons for what changes something: mark, record, stop, scale. Their outcome is a sentence beside them.

import { button, make, setText } from "./dom.js";
import { ControlError } from "./control.js";

export class Controls {
  /** @param {import("./control.js").Control} control */
  constructor(el, control) {
    this.control = control;
    this.outcome = make("span", { class: "tes-detail", role: "status" });
    this.label = make("input", { type: "text", maxlength: 200, placeholder: "Label", "aria-label": "Label of the mark" });
    this.count = make("input", { type: "number", min: 0, max: 64, value: 2, "aria-label": "Number of workers" });
    const run = (words, op, args, done) => button(words, `${words}: needs the session's token, once`, undefined, () => this.run(op, args(), done));
    this.element = make("div", { class: "tes-bar tes-controls", role: "toolbar", "aria-label": "Controls" }, [
      this.label,
      run("Mark", "mark", () => ({ label: this.label.value || "mark" }), () => "Marked."),
      this.count,
      run("Scale workers", "scale", () => ({ count: Number(this.count.value) }), scaled),
      run("Record", "record", () => ({}), (result) => `Recording${result?.path ? ` to ${result.path}` : ""}.`),
      run("Stop recording", "stop", () => ({}), () => "Recording stopped."),
      this.outcome,
    ]);
    el.append(this.element);
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

/** Ask for the token in a dialog; null = the reader cancelled. It is stored nowhere. */
export function askToken() {
  return new Promise((resolve) => {
    const input = make("input", { type: "password", autocomplete: "off", spellcheck: "false", "aria-label": "Token", required: true });
    const cancel = button("Cancel", "Do nothing", undefined, () => dialog.close());
    const form = make("form", { method: "dialog" }, [
      make("p", { text: "This changes something, so it needs the session's token (s.token in the notebook). It stays in this page's memory." }),
      input,
      make("p", {}, [make("button", { type: "submit", text: "Use it" }), cancel]),
    ]);
    const dialog = make("dialog", { class: "tes tes-dialog", "aria-label": "Token" }, [form]);
    form.addEventListener("submit", () => (dialog.returnValue = "given"));
    dialog.addEventListener("close", () => {
      const token = dialog.returnValue === "given" ? input.value.trim() : "";
      dialog.remove();
      resolve(token || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
