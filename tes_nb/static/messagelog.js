// The messages an inspector shows: the newest ones, filtered, undecoded first if wanted. No DOM.

export const KEPT = 2_000;

/**
 * A message as it travels: {id, t, direction: "in" | "out", kind, size, inflated, decode_ms, outcome, undecoded, conn,
 * preview}; its payload is a Uint8Array beside it, or null where it was not sent along.
 */
export class MessageLog {
  constructor(kept = KEPT) {
    this.kept = kept;
    this.messages = [];
    this.dropped = 0;
    this.held = null;
    this.filter = { text: "", kind: "", direction: "", undecodedFirst: true };
  }

  /** Add messages with their payloads, in the order received. */
  add(messages, payloads = []) {
    messages.forEach((message, place) => this.messages.push({ ...message, payload: payloads[place] ?? null }));
    const over = this.messages.length - this.kept;
    if (over > 0) {
      this.messages.splice(0, over);
      this.dropped += over;
    }
  }

  clear() {
    this.messages = [];
  }

  /** Hold what is shown as it is; messages are still kept. */
  pause(paused) {
    this.held = paused ? this.messages.slice() : null;
  }

  /** The kinds that occur, for choosing among them. */
  kinds() {
    return Array.from(new Set(this.messages.map(({ kind }) => String(kind)))).sort();
  }

  /** Return what is shown: newest first, and before them the undecoded ones. */
  shown() {
    const { text, kind, direction, undecodedFirst } = this.filter;
    const wanted = text.toLowerCase();
    const found = (this.held ?? this.messages).filter(
      (message) =>
        (!kind || message.kind === kind) &&
        (!direction || message.direction === direction) &&
        (!wanted || searchable(message).includes(wanted)),
    );
    found.reverse();
    if (!undecodedFirst) return found;
    return [...found.filter(({ undecoded }) => undecoded), ...found.filter(({ undecoded }) => !undecoded)];
  }
}

function searchable(message) {
  return (message.words ??= `${message.kind} ${message.direction} ${message.outcome ?? ""} ${message.preview ?? ""}`.toLowerCase());
}
