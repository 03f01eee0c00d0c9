// The collector's HTTP interface as the page uses it: the session's token and the list of sources.

import { button, make } from "./dom.js";

export const FOR_CONTROLS = "This changes something, so it needs the session's token. It stays in this page's memory.";
const FOR_STREAMS = "This collector shows its streams to its owner alone: give the session's token. It stays in this page's memory.";
const RETRY_MS = 2_000;
const WHERE = "In the notebook: print(s.token). For tes-nb serve: TES_DEV_TOKEN, or the file that it names when it starts.";

/** The session's token: asked for once, and in this page's memory alone. */
export class Credentials {
  constructor() {
    this.token = null;
    /** Whether the streams want the token, too. */
    this.forStreams = false;
  }

  /** Return the token, asked for if there is none yet; null = the reader gave none. Asks once, whoever waits. */
  get(sentence) {
    if (this.token) return Promise.resolve(this.token);
    this.pending ??= askToken(sentence).finally(() => (this.pending = null));
    return this.pending.then((token) => (this.token = token));
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
function askToken(sentence) {
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
    form.addEventListener("submit", () => (dialog.returnValue = "token"));
    dialog.addEventListener("close", () => {
      const token = dialog.returnValue === "token" ? input.value.trim() : "";
      dialog.remove();
      resolve(token || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Return what the collector answers at a path; null = it does not answer just now. */
async function fetchJson(path, credentials) {
  try {
    const reply = await fetch(path, { headers: { Accept: "application/json", ...credentials.headers() } });
    return reply.ok ? await reply.json() : null;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return null;
  }
}

/** Return the first views, each {name, title, question, parts}; [] = the collector does not answer just now. */
export async function fetchViews(credentials) {
  return (await fetchJson("api/views", credentials)) ?? [];
}

/** Return which controls can act, and where a replay is; null = the collector does not answer just now. */
export function fetchControls(credentials) {
  return fetchJson("api/controls", credentials);
}

/** Return the marks and gaps of the recording that is replayed; null = the collector does not answer just now. */
export function fetchTrack(credentials) {
  return fetchJson("api/track", credentials);
}

/** Return the list, with the token if the collector wants it; a string = a sentence about why there is none. */
export async function fetchSources(credentials) {
  try {
    const reply = await fetch("api/streams", { headers: { Accept: "application/json", ...credentials.headers() } });
    if (reply.ok) return await reply.json();
    if (reply.status !== 401 && reply.status !== 429) return `The collector answers ${reply.status} to the list of streams. Trying again.`;
    credentials.forStreams = true;
    credentials.forget();
    return reply.status === 429 ? "Too many wrong tokens; wait a minute." : "";
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return "The collector does not answer: start the session again, or tes-nb serve. Trying again.";
  }
}

/**
 * Return the list as soon as there is one. say: shows a sentence. invite: shows a button, resolves when it is pressed;
 * for a reader who closed the dialog.
 */
export async function waitForSources(credentials, say, invite) {
  let before = "";
  for (;;) {
    const sources = await fetchSources(credentials);
    if (typeof sources !== "string") return sources;
    say(sources);
    if (sources || !credentials.forStreams) await new Promise((done) => setTimeout(done, RETRY_MS));
    else if (!(await credentials.get(before + FOR_STREAMS))) await invite();
    before = credentials.token ? "That was not the token. " : "";
  }
}
