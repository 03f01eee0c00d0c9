// The owner's socket: stop, record, mark, scale. The token is asked for once and kept in memory alone.

const ANSWER_MS = 10_000;

export class ControlError extends Error {}

/** Nothing was asked: there is no way to the collector. */
export class Unreachable extends ControlError {}

export class Control {
  /**
   * @param {string} url
   * @param {{get: (sentence: string) => Promise<string | null>, forget: () => void}} credentials
   * @param {string} sentence why the token is asked for
   */
  constructor(url, credentials, sentence) {
    this.url = url;
    this.credentials = credentials;
    this.sentence = sentence;
    this.waiting = new Map();
    this.next = 1;
    this.socket = null;
  }

  /** Ask for one operation; its result, or a `ControlError` with a sentence. */
  async call(op, args = {}) {
    const socket = await this.open();
    const id = this.next++;
    const answer = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    const timer = setTimeout(() => this.settle({ id, ok: false, error: "The collector did not answer within 10 s." }), ANSWER_MS);
    socket.send(JSON.stringify({ id, op, args }));
    return answer.finally(() => clearTimeout(timer));
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
      socket.onmessage = (event) => this.take(event.data);
      socket.onclose = (event) => {
        this.closed(event);
        reject(new Unreachable("The collector does not answer; is it still running?"));
      };
    });
  }

  take(text) {
    try {
      this.settle(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }

  settle({ id, ok, result, error }) {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (ok) waiting?.resolve(result);
    else waiting?.reject(new ControlError(String(error ?? "The collector refused.")));
  }

  /** 1008 = the token was refused: ask for it again the next time. */
  closed({ code, reason }) {
    this.socket = null;
    const refused = code === 1008;
    if (refused) this.credentials.forget();
    const why = refused ? `The collector refused: ${reason || "wrong token"}.` : "The connection to the collector ended.";
    for (const id of Array.from(this.waiting.keys())) this.settle({ id, ok: false, error: why });
  }
}
