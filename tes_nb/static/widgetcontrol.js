// Controls in a notebook: straight to the collector where the browser is on its machine, else through the kernel.
// Straight, they are answered also while a cell runs; through the kernel, when it has ended.

import { Control, ControlError, Unreachable } from "./control.js";

const ANSWER_MS = 60_000;
const WHY = "Controls need the session's token.";

export function isLoopback(hostname) {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

export class WidgetControl {
  /**
   * @param {number} port the collector's status port
   * @param {() => string | null} token the newest that the kernel sent
   * @param {(message: object) => void} ask sends to the kernel
   * @param {string} hostname of the page
   */
  constructor(port, token, ask, hostname = location.hostname) {
    this.ask = ask;
    this.waiting = new Map();
    this.next = 1;
    const credentials = { get: async () => token(), forget: () => {} };
    this.direct = isLoopback(hostname) ? new Control(`ws://127.0.0.1:${port}/ws/control`, credentials, WHY) : null;
  }

  /** Ask for one operation; its result, or a `ControlError` with a sentence. */
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
      const late = () => this.answered({ id, ok: false, error: "The kernel did not answer; a cell may hold it." });
      this.waiting.set(id, { resolve, reject, timer: setTimeout(late, ANSWER_MS) });
      this.ask({ type: "control", id, op, args });
    });
  }

  answered({ id, ok, result, error }) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    if (ok) waiting.resolve(result);
    else waiting.reject(new ControlError(String(error ?? "The collector refused.")));
  }
}
