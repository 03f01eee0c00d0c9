// Which sources the collector has: asked for again and again, since a session may watch another feed at any time.

import { FOR_STREAMS } from "./collector_api.js";

const RETRY_MS = 2_000;
export const AGAIN_MS = 5_000;

/** Return the list, with the token if the collector wants it; a string = a sentence about why there is none. */
export async function askSources(credentials) {
  try {
    const answer = await fetch("api/streams", { headers: { Accept: "application/json", ...credentials.headers() } });
    if (answer.ok) return await answer.json();
    if (answer.status !== 401 && answer.status !== 429) return `The collector answers ${answer.status} to the list of streams. Trying again.`;
    credentials.forStreams = true;
    credentials.forget();
    return answer.status === 429 ? "Too many wrong tokens; wait a minute." : "";
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return "The collector does not answer: start the session again, or tes-nb serve. Trying again.";
  }
}

/** Return what the collector remembers of a source, as `{t, rows}` in the order of time; [] = it tells nothing. */
export async function askHistory(name, credentials) {
  try {
    const answer = await fetch(`api/rows/${encodeURIComponent(name)}`, { headers: credentials.headers() });
    const told = answer.ok ? await answer.json() : {};
    return (told.items ?? []).filter(({ rows }) => rows).map(({ t, rows }) => ({ t, rows: new Map(Object.entries(rows)) }));
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return [];
  }
}

/**
 * Return the list as soon as there is one. say: shows a sentence. invite: shows a button, resolves when it is pressed;
 * for a reader who closed the dialog.
 */
export async function firstSources(credentials, say, invite) {
  let before = "";
  for (;;) {
    const told = await askSources(credentials);
    if (typeof told !== "string") return told;
    say(told);
    if (told || !credentials.forStreams) await new Promise((done) => setTimeout(done, RETRY_MS));
    else if (!(await credentials.get(before + FOR_STREAMS))) await invite();
    before = credentials.token ? "That was not the token. " : "";
  }
}
