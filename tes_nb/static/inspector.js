// What DevTools' Messages tab shows, for the notebook: connections, messages, and one message's payload.

import { button, enable, make, setText, VirtualList } from "./dom.js";
import { count, formatDuration, formatTime, formatValue, shorten } from "./format.js";
import { readable } from "./payload.js";
import { Shell } from "./shell.js";
import { clockWords, watchZone, zone } from "./zone.js";

const ROW_PX = 24;
const ROWS = 14;
const CAPACITY = 2_000;
const HEADS = ["", "", "kind", "size", "inflated", "decoding", "outcome", "content"];
const FORMS = ["auto", "json", "xml", "text", "hex"];

/**
 * Put an inspector into `el`.
 *
 * @param {HTMLElement} el
 * @param {object} spec {title, period_s, silent, can_save}
 * @param {{ask?: (message: object) => void, clock?: () => number}} options ask: {type: "payload", id} for a payload
 *   that was not sent along, {type: "save", ids} to save what is shown
 * @returns {Inspector} with add(messages, payloads, replace), payload(id, bytes), setConnections(list), setState(state), destroy()
 */
export function createInspector(el, spec, options = {}) {
  return new Inspector(el, spec, options);
}

class Inspector {
  constructor(el, spec, { ask = () => {}, ...options } = {}) {
    this.shell = new Shell(el, spec, { kind: "inspector", paint: () => this.paint(), ...options });
    this.ask = ask;
    this.log = new MessageLog();
    this.connections = [];
    this.selected = null;
    this.form = "auto";
    this.buildTools(spec.can_save !== false);
    this.buildList();
    this.buildPayload();
    this.shell.requestPaint();
  }

  buildTools(canSave) {
    const changed = (name, value) => {
      this.log.filter[name] = value;
      this.shell.requestPaint();
    };
    const choice = (label, name) =>
      make("select", { "aria-label": label, on: { change: (event) => changed(name, event.target.value) } });
    this.search = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter messages" });
    this.search.addEventListener("input", () => changed("text", this.search.value));
    this.kind = choice("Kind", "kind");
    this.direction = choice("Direction", "direction");
    fill(this.direction, ["", "in", "out"], (word) => word || "both ways");
    this.first = button("Undecoded first", "Put what could not be decoded on top", "true", () => {
      changed("undecodedFirst", !this.log.filter.undecodedFirst);
      this.first.setAttribute("aria-pressed", String(this.log.filter.undecodedFirst));
    });
    this.pauseButton = button("Pause", "Hold the list still; messages are still kept", "false", () => this.setPaused(!this.log.snapshot));
    const save = () => this.ask({ type: "save", ids: this.log.visible().map(({ id }) => id) });
    this.count = make("span", { class: "tes-detail", role: "status" });
    const tools = [this.count, this.search, this.kind, this.direction, this.first, this.pauseButton];
    this.saveButton = button("Save", "", undefined, save);
    if (canSave) tools.push(this.saveButton);
    this.shell.tools.append(...tools);
  }

  buildList() {
    this.lines = make("ul", { class: "tes-connections" });
    this.list = new VirtualList({
      label: "Messages",
      style: "tes-messages",
      heads: HEADS.map((text) => make("div", { class: "tes-cell", role: "columnheader", text })),
      rowPx: ROW_PX,
      rows: ROWS,
      isSelected: (message) => message === this.selected,
      paintRow,
      onClick: (message) => this.show(message),
      onScroll: () => this.shell.requestPaint(),
      onKey: (event) => this.onKey(event),
    });
    this.shell.body.append(this.lines, this.list.element);
    this.nameZone();
    this.unwatchZone = watchZone(() => this.nameZone());
  }

  /** Say whose clocks the times are of, and write them anew. */
  nameZone() {
    const head = this.list.element.querySelector("[role=columnheader]");
    setText(head, clockWords());
    head.title = `When it came, in ${zone()}`;
    for (const slot of this.list.rows) slot.item = null;
    this.shell.requestPaint();
  }

  buildPayload() {
    this.formChoice = make("select", { "aria-label": "Show as", on: { change: () => this.show(this.selected, this.formChoice.value) } });
    fill(this.formChoice, FORMS, (word) => word);
    this.payloadHead = make("span", { class: "tes-detail" });
    this.text = make("pre", { class: "tes-payload", tabindex: 0, "aria-label": "Payload" });
    const copy = button("Copy", "Copy the payload as it is shown", undefined, () => this.copy());
    this.detail = make("div", { hidden: true }, [make("div", { class: "tes-bar" }, [this.payloadHead, this.formChoice, copy]), this.text]);
    this.shell.body.append(this.detail);
  }

  // What comes in -------------------------------------------------------------------------------------------------

  /** Add messages, oldest first; see MessageLog. */
  add(messages, payloads = [], replace = false) {
    if (replace) this.log.clear();
    this.log.add(messages, payloads);
    if (messages.length) this.shell.freshness.tick();
    else this.shell.freshness.heartbeat();
    this.shell.requestPaint();
  }

  /** A payload that `ask` asked for. */
  payload(id, bytes) {
    const message = this.log.messages.find((one) => one.id === id);
    if (!message) return;
    message.payload = bytes;
    if (this.selected === message) this.show(message, this.form);
  }

  /** The connections: {name, conn, state, text, attempts, reconnects, close_code, rtt_ms, since, history: [{t, text}]}. */
  setConnections(list) {
    this.connections = list;
    this.shell.requestPaint();
  }

  setState(state) {
    this.shell.setState(state);
    if (Array.isArray(state.connections)) this.setConnections(state.connections);
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
  }

  setPaused(paused) {
    this.log.pause(paused);
    this.shell.freshness.hold(paused);
    this.shell.paintBadge();
    this.pauseButton.setAttribute("aria-pressed", String(paused));
    setText(this.pauseButton, paused ? "Resume" : "Pause");
    this.shell.requestPaint();
  }

  // Painting ------------------------------------------------------------------------------------------------------

  paint() {
    const visible = this.log.visible();
    const undecoded = visible.filter((message) => message.undecoded).length;
    enable(this.saveButton, "Save what is shown as a session file", visible.length ? "" : "There are no messages to save.");
    setText(this.count, `${visible.length} of ${this.log.messages.length + this.log.dropped} · ${undecoded} undecoded`);
    this.shell.say(this.log.messages.length ? "" : "No messages yet.");
    fill(this.kind, ["", ...this.log.kinds()], (word) => shorten(word, 30) || "all kinds");
    this.paintConnections();
    this.list.paint(visible);
  }

  paintConnections() {
    const text = JSON.stringify(this.connections);
    if (text === this.connectionsText) return;
    this.connectionsText = text;
    const open = new Set(Array.from(this.lines.querySelectorAll("details[open]"), (one) => one.dataset.name));
    this.lines.replaceChildren(...this.connections.map((one) => connectionLine(one, open)));
  }

  // What the reader does --------------------------------------------------------------------------------------------

  /** Show a message's payload; null = none. */
  show(message, form = this.form) {
    this.selected = message;
    this.form = this.formChoice.value = form;
    this.detail.hidden = message === null;
    if (message !== null) this.showPayload(message);
    this.shell.requestPaint();
  }

  showPayload(message) {
    if (message.payload === null) {
      setText(this.payloadHead, "asked for; it comes when the kernel is free");
      setText(this.text, message.preview ?? "");
      this.ask({ type: "payload", id: message.id });
      return;
    }
    const { form, text } = readable(message.payload, this.form);
    const cut = message.payload.length < (message.inflated ?? message.size) ? `, the first ${message.payload.length} bytes` : "";
    setText(this.payloadHead, `${form}${cut}${message.outcome ? ` · ${shorten(String(message.outcome), 300)}` : ""}`);
    setText(this.text, text);
  }

  copy() {
    navigator.clipboard?.writeText(this.text.textContent).then(
      () => setText(this.payloadHead, "copied"),
      () => setText(this.payloadHead, "the browser did not allow copying; select the text instead"),
    );
  }

  onKey(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const visible = this.log.visible();
    const at = Math.max(0, Math.min(visible.length - 1, visible.indexOf(this.selected) + by));
    this.list.reveal(at);
    if (visible[at]) this.show(visible[at]);
  }

  destroy() {
    this.unwatchZone();
    this.list.destroy();
    this.shell.destroy();
  }
}

/**
 * A message as it travels: {id, t, direction: "in" | "out", kind, size, inflated, decode_ms, outcome, undecoded, conn,
 * preview}; its payload is a Uint8Array beside it, or null where it was not sent along.
 */
export class MessageLog {
  constructor(capacity = CAPACITY) {
    this.capacity = capacity;
    this.messages = [];
    this.dropped = 0;
    this.snapshot = null;
    this.filter = { text: "", kind: "", direction: "", undecodedFirst: true };
  }

  /** Add messages with their payloads, in the order received. */
  add(messages, payloads = []) {
    messages.forEach((message, place) => this.messages.push({ ...message, payload: payloads[place] ?? null }));
    const over = this.messages.length - this.capacity;
    if (over > 0) {
      this.messages.splice(0, over);
      this.dropped += over;
    }
  }

  clear() {
    this.messages = [];
  }

  /** Hold what is shown as it is; messages are still stored. */
  pause(paused) {
    this.snapshot = paused ? this.messages.slice() : null;
  }

  /** The kinds that occur, for choosing among them. */
  kinds() {
    return Array.from(new Set(this.messages.map(({ kind }) => String(kind)))).sort();
  }

  /** Return what passes the filter: newest first, and before them the undecoded ones. */
  visible() {
    const { text, kind, direction, undecodedFirst } = this.filter;
    const words = text.toLowerCase();
    const matches = (this.snapshot ?? this.messages).filter(
      (message) =>
        (!kind || message.kind === kind) &&
        (!direction || message.direction === direction) &&
        (!words || searchable(message).includes(words)),
    );
    matches.reverse();
    if (!undecodedFirst) return matches;
    return [...matches.filter(({ undecoded }) => undecoded), ...matches.filter(({ undecoded }) => !undecoded)];
  }
}

function searchable(message) {
  return (message.words ??= `${message.kind} ${message.direction} ${message.outcome ?? ""} ${message.preview ?? ""}`.toLowerCase());
}

function paintRow({ element, cells, item }, message) {
  element.classList.toggle("tes-undecoded", Boolean(message.undecoded));
  if (item === message) return;
  const size = (bytes) => (bytes == null ? "" : formatValue(bytes, "bytes"));
  const words = [
    formatTime(message.t),
    message.direction === "out" ? "↑" : "↓",
    shorten(String(message.kind ?? ""), 30),
    size(message.size),
    message.inflated === message.size ? "" : size(message.inflated),
    message.decode_ms == null ? "" : formatValue(message.decode_ms, "ms"),
    shorten(String(message.outcome ?? ""), 120),
    shorten(String(message.preview ?? "").replace(/\s+/g, " "), 200),
  ];
  words.forEach((text, place) => setText(cells[place], text));
}

function connectionLine(one, open) {
  const facts = [
    one.attempts > 1 ? `${one.attempts} attempts` : "",
    one.reconnects ? `${count(one.reconnects, "reconnect")}` : "",
    one.close_code == null ? "" : `closed ${one.close_code}`,
    one.rtt_ms == null ? "" : `round trip ${formatValue(one.rtt_ms, "ms")}`,
    one.since == null ? "" : `for ${formatDuration(Math.max(0, Date.now() / 1000 - one.since))}`,
  ].filter(Boolean);
  const history = (one.history ?? []).slice(-50).reverse();
  const lines = history.map(({ t, text }) => make("li", { text: `${formatTime(t)}  ${shorten(String(text), 300)}` }));
  const name = shorten(String(one.name), 80);
  const head = `${name}: ${shorten(String(one.text ?? one.state), 200)}${facts.length ? ` · ${facts.join(" · ")}` : ""}`;
  const details = make("details", { "data-name": name, open: open.has(name) }, [make("summary", { text: head }), make("ol", {}, lines)]);
  return make("li", {}, [details]);
}

/** Put options into a select, unless they are there; the selected one stays. */
function fill(select, values, words) {
  const joined = values.join("\n");
  if (select.joinedValues === joined) return;
  const value = select.value;
  select.joinedValues = joined;
  select.replaceChildren(...values.map((one) => make("option", { value: one, text: words(one) })));
  if (values.includes(value)) select.value = value;
}
