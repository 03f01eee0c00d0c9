// What DevTools' Messages tab shows, for the notebook: connections, messages, and one message's payload.

import { button, make, setText } from "./dom.js";
import { count, formatDuration, formatTime, formatValue, shorten } from "./format.js";
import { MessageLog } from "./messagelog.js";
import { readable } from "./payload.js";
import { Shell } from "./shell.js";

const ROW_PX = 24;
const SHOWN_ROWS = 14;
const OVERSCAN = 6;
const HEADS = ["time", "", "kind", "size", "inflated", "decoding", "outcome", "content"];
const FORMS = ["auto", "json", "xml", "text", "hex"];

/**
 * Put an inspector into `el`.
 *
 * @param {HTMLElement} el
 * @param {object} spec {title, period_s, silent, can_save}
 * @param {{ask?: (message: object) => void, clock?: () => number}} given ask: {type: "payload", id} for a payload
 *   that was not sent along, {type: "save", ids} to save what is shown
 * @returns {Inspector} with add(messages, payloads, replace), payload(id, bytes), setConnections(list), setState(state), destroy()
 */
export function createInspector(el, spec, given = {}) {
  return new Inspector(el, spec, given);
}

class Inspector {
  constructor(el, spec, { ask = () => {}, clock } = {}) {
    this.shell = new Shell(el, spec, { kind: "inspector", clock });
    this.ask = ask;
    this.log = new MessageLog();
    this.connections = [];
    this.chosen = null;
    this.form = "auto";
    this.slots = [];
    this.frame = 0;
    this.buildTools(spec.can_save !== false);
    this.buildList();
    this.buildPayload();
    this.requestPaint();
  }

  buildTools(canSave) {
    const changed = (name, value) => {
      this.log.filter[name] = value;
      this.requestPaint();
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
    this.pauseButton = button("Pause", "Hold the list still; messages are still kept", "false", () => this.setPaused(!this.log.held));
    const save = () => this.ask({ type: "save", ids: this.log.shown().map(({ id }) => id) });
    this.count = make("span", { class: "tes-detail", role: "status" });
    const tools = [this.count, this.search, this.kind, this.direction, this.first, this.pauseButton];
    if (canSave) tools.push(button("Save", "Save what is shown as a session file", undefined, save));
    this.shell.tools.append(...tools);
  }

  buildList() {
    this.lines = make("ul", { class: "tes-connections" });
    const head = make("div", { class: "tes-row tes-head", role: "row" }, HEADS.map((text) => make("div", { class: "tes-cell", role: "columnheader", text })));
    this.space = make("div", { class: "tes-space", role: "rowgroup" });
    this.scroller = make("div", { class: "tes-grid tes-messages", role: "grid", tabindex: 0, "aria-label": "Messages" }, [
      make("div", { class: "tes-headgroup", role: "rowgroup" }, [head]),
      this.space,
    ]);
    this.scroller.style.maxHeight = `${(SHOWN_ROWS + 1) * ROW_PX + 4}px`;
    this.scroller.addEventListener("scroll", () => this.requestPaint());
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.shell.body.append(this.lines, this.scroller);
  }

  buildPayload() {
    this.formChoice = make("select", { "aria-label": "Show as", on: { change: () => this.show(this.chosen, this.formChoice.value) } });
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
    this.shell.freshness.tick();
    this.requestPaint();
  }

  /** A payload that was asked for. */
  payload(id, bytes) {
    const message = this.log.messages.find((one) => one.id === id);
    if (!message) return;
    message.payload = bytes;
    if (this.chosen === message) this.show(message, this.form);
  }

  /** The connections: {name, conn, state, text, attempts, reconnects, close_code, rtt_ms, since, history: [{t, text}]}. */
  setConnections(list) {
    this.connections = list;
    this.requestPaint();
  }

  setState(state) {
    this.shell.setState(state);
    if (Array.isArray(state.connections)) this.setConnections(state.connections);
  }

  setVisible(visible) {
    this.shell.setVisible(visible);
    if (visible) this.requestPaint();
  }

  setPaused(paused) {
    this.log.pause(paused);
    this.pauseButton.setAttribute("aria-pressed", String(paused));
    setText(this.pauseButton, paused ? "Resume" : "Pause");
    this.requestPaint();
  }

  // Painting ------------------------------------------------------------------------------------------------------

  requestPaint() {
    if (this.frame || !this.shell.visible) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const shown = this.log.shown();
    const undecoded = shown.filter((message) => message.undecoded).length;
    setText(this.count, `${shown.length} of ${this.log.messages.length + this.log.dropped} · ${undecoded} undecoded`);
    this.shell.say(this.log.messages.length ? "" : "No messages yet.");
    fill(this.kind, ["", ...this.log.kinds()], (word) => shorten(word, 30) || "all kinds");
    this.paintConnections();
    this.scroller.setAttribute("aria-rowcount", String(shown.length + 1));
    this.space.style.height = `${shown.length * ROW_PX}px`;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - OVERSCAN);
    const last = Math.min(shown.length, first + SHOWN_ROWS + 2 * OVERSCAN);
    while (this.slots.length < last - first) this.slots.push(this.slot());
    for (const slot of this.slots.splice(last - first)) slot.element.remove();
    for (let at = first; at < last; at++) this.paintRow(this.slots[at - first], shown[at], at);
    this.shell.paintBadge();
  }

  paintConnections() {
    const told = JSON.stringify(this.connections);
    if (told === this.connectionsShown) return;
    this.connectionsShown = told;
    const open = new Set(Array.from(this.lines.querySelectorAll("details[open]"), (one) => one.dataset.name));
    this.lines.replaceChildren(...this.connections.map((one) => connectionLine(one, open)));
  }

  slot() {
    const cells = HEADS.map(() => make("div", { class: "tes-cell", role: "gridcell" }));
    const slot = { cells, message: null, element: make("div", { class: "tes-row", role: "row" }, cells) };
    slot.element.addEventListener("click", () => this.show(slot.message));
    this.space.append(slot.element);
    return slot;
  }

  paintRow(slot, message, at) {
    slot.element.style.transform = `translateY(${at * ROW_PX}px)`;
    slot.element.setAttribute("aria-rowindex", String(at + 2));
    slot.element.setAttribute("aria-selected", String(message === this.chosen));
    slot.element.classList.toggle("tes-undecoded", Boolean(message.undecoded));
    if (slot.message === message) return;
    slot.message = message;
    wordsOf(message).forEach((text, place) => setText(slot.cells[place], text));
  }

  // What the reader does --------------------------------------------------------------------------------------------

  /** Show a message's payload; null = none. */
  show(message, form = this.form) {
    this.chosen = message;
    this.form = this.formChoice.value = form;
    this.detail.hidden = message === null;
    if (message !== null) this.showPayload(message);
    this.requestPaint();
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

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined || event.target !== this.scroller) return;
    event.preventDefault();
    const shown = this.log.shown();
    const at = Math.max(0, Math.min(shown.length - 1, shown.indexOf(this.chosen) + by));
    const top = at * ROW_PX;
    const room = this.scroller.clientHeight - 2 * ROW_PX;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
    if (shown[at]) this.show(shown[at]);
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.shell.destroy();
  }
}

function wordsOf(message) {
  const size = (bytes) => (bytes == null ? "" : formatValue(bytes, "bytes"));
  return [
    formatTime(message.t),
    message.direction === "out" ? "↑" : "↓",
    shorten(String(message.kind ?? ""), 30),
    size(message.size),
    message.inflated === message.size ? "" : size(message.inflated),
    message.decode_ms == null ? "" : formatValue(message.decode_ms, "ms"),
    shorten(String(message.outcome ?? ""), 120),
    shorten(String(message.preview ?? "").replace(/\s+/g, " "), 200),
  ];
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

/** Put options into a select, unless they are there; the chosen one stays. */
function fill(select, values, words) {
  const told = values.join("\n");
  if (select.told === told) return;
  const chosen = select.value;
  select.told = told;
  select.replaceChildren(...values.map((value) => make("option", { value, text: words(value) })));
  if (values.includes(chosen)) select.value = chosen;
}
