// Where the collector's sockets are as seen from this page, and one that comes back by itself. No DOM.

const FIRST_WAIT_S = 0.5;
const LONGEST_WAIT_S = 10;
const STAYED_UP_S = 5;

/**
 * Return a WebSocket's address.
 *
 * port: null = the page's own, wherever that is.
 *
 * @param {{protocol: string, hostname: string, port: string, pathname: string}} here the page's location; behind a
 *   proxy its path ends in …/proxy/<port>/, and another port is the same path with that port
 */
export function socketUrl(here, port, path) {
  const scheme = here.protocol === "https:" ? "wss:" : "ws:";
  const host = here.hostname.includes(":") && !here.hostname.startsWith("[") ? `[${here.hostname}]` : here.hostname;
  const own = here.port ? `:${here.port}` : "";
  if (port === null || String(port) === here.port) return `${scheme}//${host}${own}${here.pathname.replace(/\/[^/]*$/, "")}${path}`;
  const proxied = here.pathname.match(/^(.*\/proxy\/(?:absolute\/)?)\d+(?=\/)/);
  if (proxied) return `${scheme}//${host}${own}${proxied[1]}${port}${path}`;
  return `${scheme}//${host}:${port}${path}`;
}

/** Equal jitter: half of the delay plus a random half. */
export function backoff(attempt, random = Math.random) {
  const delay = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** Math.min(attempt, 10));
  return delay / 2 + (delay / 2) * random();
}

/** A WebSocket that connects again, with growing pauses, until it is closed. */
export class ReconnectingSocket {
  /**
   * @param {() => string} address where to connect, called each time
   * @param {{onText: (text: string) => void, onState: (socket: ReconnectingSocket) => void, greeting?: () => object | null,
   *   onRefused?: () => void}} handlers greeting: what is sent first; onRefused: it was refused (close 1008)
   */
  constructor(address, { onText, onState, greeting = () => null, onRefused = () => {} }) {
    this.address = address;
    this.greeting = greeting;
    this.onRefused = onRefused;
    this.onText = onText;
    this.onState = onState;
    this.state = "CONNECTING";
    this.attempts = 0;
    this.reconnects = -1;
    this.closeCode = null;
    this.history = [];
    this.ended = false;
    this.connect();
  }

  connect() {
    this.attempts += 1;
    this.socket = new WebSocket(this.address());
    this.socket.onopen = () => {
      this.openedAt = Date.now();
      this.reconnects += 1;
      const greeting = this.greeting();
      if (greeting) this.send(greeting);
      this.setState("OPEN");
    };
    this.socket.onmessage = (event) => typeof event.data === "string" && this.onText(event.data);
    this.socket.onclose = (event) => this.onClose(event);
  }

  onClose({ code }) {
    if (this.ended) return;
    if (code === 1008) this.onRefused();
    const stayedUp = this.state === "OPEN" && Date.now() - this.openedAt > STAYED_UP_S * 1000;
    if (stayedUp) this.attempts = 0;
    this.closeCode = code;
    this.setState("WAITING");
    this.timer = setTimeout(() => this.connect(), backoff(this.attempts) * 1000);
  }

  setState(state) {
    this.state = state;
    const code = state === "WAITING" && this.closeCode !== null ? ` after close ${this.closeCode}` : "";
    this.history = [...this.history.slice(-49), { t: Date.now() / 1000, text: `${state}${code}` }];
    this.onState(this);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
