// The session's token: asked for once, kept in this page's memory alone, shown to whatever asks for it.

import { button, make } from "./dom.js";

export const FOR_CONTROLS = "This changes something, so it needs the session's token. It stays in this page's memory.";
export const FOR_STREAMS = "This collector shows its streams to its owner alone: give the session's token. It stays in this page's memory.";
const WHERE = "In the notebook: print(s.token). For tes-nb serve: TES_DEV_TOKEN, or the file that it names when it starts.";

export class Credentials {
  /** @param {(sentence: string) => Promise<string | null>} ask null = the reader gave none */
  constructor(ask = askToken) {
    this.ask = ask;
    this.token = null;
    /** Whether the streams want the token, too. */
    this.forStreams = false;
  }

  /** Return the token, asked for if it is not known; null = the reader gave none. Asks once, whoever waits. */
  get(sentence) {
    if (this.token) return Promise.resolve(this.token);
    this.asking ??= this.ask(sentence).finally(() => (this.asking = null));
    return this.asking.then((token) => (this.token = token));
  }

  /** The token was refused: it is asked for again. */
  forget() {
    this.token = null;
  }

  /** The first message of a stream's socket; null = none is needed. */
  greeting() {
    return this.forStreams && this.token ? { type: "auth", token: this.token } : null;
  }

  /** The headers of a request. */
  headers() {
    return this.forStreams && this.token ? { "X-TES-Dev-Token": this.token } : {};
  }
}

/** Ask for the token in a dialog; null = the reader cancelled. It is stored nowhere. */
export function askToken(sentence) {
  return new Promise((resolve) => {
    const input = make("input", { type: "password", autocomplete: "off", spellcheck: "false", "aria-label": "Token", required: true });
    const cancel = button("Cancel", "Do nothing", undefined, () => dialog.close());
    const form = make("form", { method: "dialog" }, [
      make("p", { text: sentence }),
      make("p", { class: "tes-detail", text: WHERE }),
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
