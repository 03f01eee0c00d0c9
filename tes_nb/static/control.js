// What changes something: mark, record, stop, scale. Buttons, and two ways to the collector: its owner's socket, and from
// a notebook whose browser is on another machine, the kernel.

import { button, enable, make, setText } from "./dom.js";

const REPLY_MS = 10_000;
const KERNEL_REPLY_MS = 60_000;
const WHY_TOKEN = "Controls need the session's token.";

export class ControlError extends Error {}

/** Nothing was requested: there is no way to the collector. */
class Unreachable extends ControlError {}

/** The owner's socket. The token is asked for once and stays in memory alone. */
export class Control {
  /**
   * @param {string} url
   * @param {{get: (sentence: string) => Promise<string | null>, forget: () => void}} credentials
   * @param {string} sentence why the token is needed
   */
  constructor(url, credentials, sentence) {
    this.url = url;
    this.credentials = credentials;
    this.sentence = sentence;
    this.pending = new Map();
    this.next = 1;
    this.socket = null;
  }

  /** Request one operation; its result, or a `ControlError` with a sentence. */
  async call(op, args = {}) {
    const socket = await this.open();
    const id = this.next++;
    const reply = new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
    const timer = setTimeout(() => this.settle({ id, ok: false, error: "The collector did not answer within 10 s." }), REPLY_MS);
    socket.send(JSON.stringify({ id, op, args }));
    return reply.finally(() => clearTimeout(timer));
  }

  async open() {
    if (this.socket?.readyState === WebSocket.OPEN) return this.socket;
    const token = await this.credentials.get(this.sentence);
    if (!token) throw new Unreachable("Controls need the session's token; nothing was done.");
    this.opening ??= this.connect(token).finally(() => (this.opening = null));
    return this.opening;
  }

  connect(token) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.url);
      socket.onopen = () => {
        socket.send(JSON.stringify({ type: "auth", token }));
        this.socket = socket;
        resolve(socket);
      };
      socket.onmessage = (event) => this.onMessage(event.data);
      socket.onclose = (event) => {
        this.onClose(event);
        reject(new Unreachable("The collector does not answer; is it still running?"));
      };
    });
  }

  onMessage(text) {
    try {
      this.settle(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }

  settle({ id, ok, result, error }) {
    const request = this.pending.get(id);
    this.pending.delete(id);
    if (ok) request?.resolve(result);
    else request?.reject(new ControlError(String(error ?? "The collector refused.")));
  }

  /** 1008 = the token was refused: ask for it again the next time. */
  onClose({ code, reason }) {
    this.socket = null;
    const refused = code === 1008;
    if (refused) this.credentials.forget();
    const why = refused ? `The collector refused: ${reason || "wrong token"}.` : "The connection to the collector ended.";
    for (const id of Array.from(this.pending.keys())) this.settle({ id, ok: false, error: why });
  }
}

function isLoopback(hostname) {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/**
 * Controls in a notebook: straight to the collector where the browser is on its machine, else through the kernel.
 * Straight, they are answered also while a cell runs; through the kernel, when it has ended.
 */
export class NotebookControl {
  /**
   * @param {number} port the collector's status port
   * @param {() => string | null} token the newest that the kernel sent
   * @param {(message: object) => void} send sends to the kernel
   */
  constructor(port, token, send) {
    this.send = send;
    this.pending = new Map();
    this.next = 1;
    const credentials = { get: async () => token(), forget: () => {} };
    this.direct = isLoopback(location.hostname) ? new Control(`ws://127.0.0.1:${port}/ws/control`, credentials, WHY_TOKEN) : null;
  }

  /** Request one operation; its result, or a `ControlError` with a sentence. */
  async call(op, args = {}) {
    if (this.direct) {
      try {
        return await this.direct.call(op, args);
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
      }
    }
    return this.throughKernel(op, args);
  }

  throughKernel(op, args) {
    const id = `${Math.random()} ${this.next++}`;
    return new Promise((resolve, reject) => {
      const late = () => this.onReply({ id, ok: false, error: "The kernel did not answer; a cell may hold it." });
      this.pending.set(id, { resolve, reject, timer: setTimeout(late, KERNEL_REPLY_MS) });
      this.send({ type: "control", id, op, args });
    });
  }

  onReply({ id, ok, result, error }) {
    const request = this.pending.get(id);
    if (!request) return;
    this.pending.delete(id);
    clearTimeout(request.timer);
    if (ok) request.resolve(result);
    else request.reject(new ControlError(String(error ?? "The collector refused.")));
  }
}

const NOT_SAID = "The collector has not said yet whether this can be done.";
export const NO_ANSWER = "The collector does not answer: it has ended, or is just starting.";
const SEVERAL = "Several recordings run: end one where it was begun, or with tes-nb recordings --stop FILE.";
const DOES = {
  mark: "Put a mark on the time line of every stream",
  scale: "Bring the Dask cluster to so many workers",
  record: "Record every message of every stream to a new file",
  stop: "End the recording",
};

/** Buttons for the operations, each enabled when it can act; their outcome is a sentence beside them. */
export class ControlBar {
  /**
   * @param {HTMLElement} el
   * @param {Control | NotebookControl} control
   * @param {() => void} [asked] called after each operation, to ask how things are
   */
  constructor(el, control, asked = () => {}) {
    this.control = control;
    this.asked = asked;
    /** What `controls` answers; undefined = nothing came yet, null = the collector does not answer. */
    this.states = undefined;
    /** Where the recording goes that was begun here; null = none was. */
    this.path = null;
    this.outcome = make("span", { class: "tes-detail", role: "status" });
    this.label = make("input", { type: "text", maxlength: 200, placeholder: "Label", "aria-label": "Label of the mark" });
    this.count = make("input", { type: "number", min: 0, max: 64, value: 2, "aria-label": "Number of workers" });
    const run = (words, op, args, sentence) => button(words, "", undefined, () => this.run(op, args(), sentence));
    this.buttons = {
      mark: run("Mark", "mark", () => ({ label: this.label.value || "mark" }), () => "Marked."),
      scale: run("Scale workers", "scale", () => ({ count: Number(this.count.value) }), scaleSentence),
      record: run("Record", "record", () => ({}), (result) => this.onRecord(result)),
      stop: run("Stop recording", "stop", () => (this.path ? { path: this.path } : {}), (result) => this.onStop(result)),
    };
    const { mark, scale, record, stop } = this.buttons;
    this.element = make("div", { class: "tes-bar tes-controls", role: "toolbar", "aria-label": "Controls" }, [
      ...[this.label, mark, this.count, scale, record, stop],
      this.outcome,
    ]);
    el.append(this.element);
    this.paint();
  }

  /** @param {object | null} states what `controls` answers; null = the collector does not answer */
  setStates(states) {
    this.states = states;
    if (states?.recordings === 0) this.path = null; // it was ended elsewhere
    this.paint();
  }

  paint() {
    for (const [op, one] of Object.entries(this.buttons)) enable(one, `${DOES[op]}; needs the session's token, once`, this.whyNot(op));
    this.count.disabled = this.buttons.scale.disabled;
    this.label.disabled = this.buttons.mark.disabled;
  }

  /** Why a control cannot act; "" = it can. */
  whyNot(op) {
    if (this.states === undefined) return NOT_SAID;
    if (this.states === null) return NO_ANSWER;
    if (op === "record" && this.path) return `This is being recorded, to ${this.path}.`;
    if (op === "stop" && this.path) return "";
    if (op === "stop" && this.states.recordings > 1) return SEVERAL;
    return this.states[op] ?? "";
  }

  onRecord({ path }) {
    this.path = path;
    return `Recording to ${path}.`;
  }

  onStop({ path, messages }) {
    this.path = null;
    if (this.states) this.states = { ...this.states, recordings: 0, stop: "Nothing is being recorded." };
    return `Recorded ${messages} messages: ${path}.`;
  }

  async run(op, args, sentence) {
    setText(this.outcome, "…");
    try {
      const result = await this.control.call(op, args);
      setText(this.outcome, sentence(result));
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      setText(this.outcome, error.message);
    }
    this.paint();
    this.asked();
  }
}

function scaleSentence(result) {
  return `${result?.created ?? 0} created, ${result?.terminated ?? 0} terminated.`;
}
