// Buttons for what can be done with one row of a table, and the panel below the row that shows the answer.

import { ControlError } from "./control.js";
import { button, download, enable, make, setText } from "./dom.js";
import { fileName } from "./format.js";

export const PANEL_PX = 220;
const COPIED_MS = 2_000;

/** Why an action makes no sense with a row; "" = it does. values: column name → the row's value. */
export function refusal({ refusals }, values) {
  const holds = ([name, wanted]) => {
    const value = values[name] ?? null;
    return wanted === null ? value !== null : wanted.includes(value);
  };
  return refusals.find(({ where }) => Object.entries(where).every(holds))?.why ?? "";
}

/** A stack as text, each thread like a traceback: the innermost call last, the user's own marked. */
export function stackText({ pid, place, door, took_ms, threads }) {
  const line = ({ mine, function: name, file, line: number }) => `${mine ? ">" : " "} ${name}, ${file} line ${number}`;
  const thread = ({ name, frames }) => [`${name}:`, ...frames.slice().reverse().map(line)];
  return [`process ${pid}, ${place ?? "not in your code"} (${door}, ${took_ms} ms)`, ...threads.flatMap(thread)].join("\n");
}

/** The buttons of all rows, and the one panel. */
export class RowActions {
  /**
   * @param {object[]} actions as a table's spec has them
   * @param {object[]} columns
   * @param {{call: (op: string, args: object) => Promise<object>}} control
   * @param {(key: string | null) => void} onPanel called when the panel stands below another row, null = below none
   */
  constructor(actions, columns, control, onPanel) {
    this.actions = actions;
    this.columns = columns;
    this.control = control;
    this.onPanel = onPanel;
    this.key = null;
    this.title = make("span", { class: "tes-title" });
    this.copy = button("Copy", "Copy the text", undefined, () => this.copyText());
    this.save = button("Save", "Save it as gzip-compressed JSON", undefined, () => this.saveResult());
    const close = button("Close", "Close this panel", undefined, () => this.close());
    this.text = make("pre", { class: "tes-answer", tabindex: 0, "aria-label": "Answer", role: "region" });
    const bar = make("div", { class: "tes-bar" }, [this.title, this.copy, this.save, close]);
    this.element = make("div", { class: "tes-below", role: "row" }, [make("div", { class: "tes-below-inner", role: "gridcell" }, [bar, this.text])]);
    this.element.addEventListener("click", (event) => event.stopPropagation());
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  /** The buttons of one row; `rowOf` gives the row that they stand in just now. */
  buttons(rowOf) {
    return this.actions.map((action) => {
      const one = button(action.title, "", undefined, (event) => {
        event.stopPropagation();
        this.run(action, rowOf().key);
      });
      return one;
    });
  }

  /** Let the buttons of a row act, or say why they cannot. */
  paint(buttons, row) {
    const values = Object.fromEntries(this.columns.map(({ name }, place) => [name, row.values[place]]));
    this.actions.forEach((action, at) =>
      enable(buttons[at], `${action.title}: ${action.doc}; needs the session's token, once`, refusal(action, values)),
    );
  }

  async run(action, key) {
    this.key = key;
    this.result = null;
    const asked = (this.asked = {});
    this.show(`${action.title} of ${key}`, "\u2026");
    this.onPanel(key);
    let text;
    try {
      const result = await this.control.call(action.op, { [action.argument]: key });
      if (asked !== this.asked) return; // another one was asked for meanwhile
      this.result = result;
      text = result.threads ? stackText(result) : JSON.stringify(result, null, 2);
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      text = error.message;
    }
    if (asked === this.asked) this.show(`${action.title} of ${key}`, text);
  }

  show(title, text) {
    setText(this.title, title);
    setText(this.text, text);
    this.text.scrollTop = this.result?.threads?.length === 1 ? this.text.scrollHeight : 0; // the innermost calls
    enable(this.copy, "Copy the text", text === "\u2026" ? "There is nothing to copy yet." : "");
    enable(this.save, "Save it as gzip-compressed JSON", this.result ? "" : "There is nothing to save.");
  }

  close() {
    this.key = null;
    this.asked = null;
    this.onPanel(null);
  }

  async copyText() {
    try {
      await navigator.clipboard.writeText(this.text.textContent);
      setText(this.copy, "Copied");
      setTimeout(() => setText(this.copy, "Copy"), COPIED_MS);
    } catch {
      getSelection().selectAllChildren(this.text); // the browser forbids it here: Ctrl-C copies what is selected
    }
  }

  async saveResult() {
    const plain = new Blob([JSON.stringify(this.result)]).stream();
    const packed = await new Response(plain.pipeThrough(new CompressionStream("gzip"))).blob();
    download(packed, fileName(this.title.textContent, "json.gz"));
  }
}
