// The JupyterLab extension: one item of the status bar, for the kernel of the notebook in front (decisions/0035).
//
// JupyterLab loads extensions by module federation: a container with init(scope) and get(name). What it takes from
// JupyterLab comes from that scope, so that esbuild alone bundles it. The messages: tes_nb/session/status_item.py.

import { connect } from "./comm.js";
import { make, setText } from "./dom.js";
import { formatDuration, formatValue } from "./format.js";
import { Freshness } from "./freshness.js";

const NAME = "tes-nb";
const TARGET = "tes_nb.status";
const DOCK = "tes-nb:dock";
const PAGE = "tes-nb:page";
/** So long a silence is normal; something comes each half second. */
const PERIOD_S = 1;
/** A kernel that runs a cell and has been silent for so long is held. */
const HELD_S = 2;
const PAINT_MS = 250;
const LATE_MS = 2_500;
const NO_SESSION = "The notebook in front has no session: run tes_nb.start() in it.";
const LATE = "The kernel is busy: the dashboard opens when the running cell has ended.";
const clock = () => Date.now() / 1000;

/** The session of one kernel: its comm, and what came over it. */
class KernelSession {
  constructor(kernel, comm, changed) {
    this.kernel = kernel;
    this.comm = comm;
    this.freshness = new Freshness({ periodS: PERIOD_S, clock });
    this.figures = null;
    /** Whether a cell runs; the kernel's status is that of its subshells, too. */
    this.runs = kernel.status === "busy";
    const onStatus = (_, { header, parent_header, content }) => {
      if (header.msg_type === "status" && parent_header.msg_type === "execute_request") this.runs = content.execution_state === "busy";
    };
    kernel.iopubMessage.connect(onStatus);
    /** When something came last, since the item shows this session; null = nothing did. */
    this.heardAt = null;
    this.onAnswer = () => {};
    // a thread of the kernel's that a busy cell does not hold up, where it has any (ipykernel 7)
    comm.commsOverSubshells = "perCommTarget";
    comm.onMsg = ({ content }) => {
      this.onMessage(content.data);
      changed();
    };
    comm.onClose = () => {
      kernel.iopubMessage.disconnect(onStatus);
      changed(this);
    };
  }

  onMessage(data) {
    this.heardAt = clock();
    if (data.type !== "figures") return this.onAnswer(data);
    this.figures = data;
    this.freshness.setUpstream({ word: data.word, text: data.text });
    this.freshness.tick();
  }

  /** {word, text}: held and dead are what JupyterLab knows of the kernel, all else is as in every view. */
  status() {
    const { kernel, heardAt } = this;
    const state = this.freshness.status();
    if (kernel.status === "dead" || kernel.status === "terminating") return { word: "LOST", text: "the kernel has ended" };
    if (kernel.connectionStatus !== "connected") return { word: "LOST", text: "no connection to the kernel" };
    if (state.word === "PAUSED" || state.word === "CLOSED") return state;
    if (heardAt === null) return { word: "WAITING", text: "the kernel has not answered yet" };
    const silent = clock() - heardAt;
    if (this.runs && silent > HELD_S) {
      return { word: "held", text: `a cell holds the interpreter, silent for ${formatDuration(Math.round(silent)).replace(".0", "")}` };
    }
    return state;
  }

  /** Begin to be shown by `el`; the returned function ends it. */
  show(el) {
    this.heardAt = null;
    this.freshness.resume();
    const link = connect({ send: (message) => this.comm.isDisposed || this.comm.send(message) }, el, {
      onVisible: (visible) => visible && this.freshness.resume(),
      onIdle: (sentence) => this.freshness.suspend(sentence),
    });
    return () => link.close();
  }
}

/** What the item shows of a session: words, and a longer sentence. */
export function describe(figures, { word, text }) {
  const share = (value, limit) => (limit ? `${value} of ${limit}` : value);
  const state = word === "held" ? text.replace(/^.*silent for/, "held") : word;
  if (!figures) return { words: state, title: `tes_nb: ${text || word}` };
  const memory = share(formatValue(figures.memory, "bytes"), figures.memory_limit && formatValue(figures.memory_limit, "bytes"));
  const cpu = `${share(figures.cores === null ? "–" : figures.cores.toFixed(2), figures.cores_limit && formatValue(figures.cores_limit))} cores`;
  return { words: `${memory} · ${cpu} · ${state}`, title: `Memory ${memory}, CPU ${cpu}\n${word}${text ? `: ${text}` : ""}\nClick: the dashboard` };
}

/** The item, and the sessions of all open notebooks' kernels. */
class Item {
  constructor(tracker, dock) {
    this.tracker = tracker;
    this.sessions = new Map();
    this.shown = null;
    this.hide = () => {};
    this.words = make("span", { class: "jp-StatusBar-TextItem" });
    this.node = make("button", { type: "button", class: "tes-status-item", on: { click: dock } }, [this.words]);
    // JupyterLab's own items are no buttons, so that its style has none for one
    Object.assign(this.node.style, { background: "none", border: "0", padding: "0 4px", font: "inherit", color: "inherit", cursor: "pointer" });
    tracker.widgetAdded.connect((_, panel) => this.follow(panel));
    tracker.forEach((panel) => this.follow(panel));
    tracker.currentChanged.connect(() => this.update());
    setInterval(() => this.paint(), PAINT_MS);
  }

  follow({ sessionContext }) {
    sessionContext.kernelChanged.connect((_, { newValue }) => this.attach(newValue));
    sessionContext.statusChanged.connect((_, status) => {
      if (status.includes("restarting")) this.forget(sessionContext.session?.kernel?.id);
    });
    this.attach(sessionContext.session?.kernel);
  }

  /** Take the comm that a session opens from now on, or one that was opened before this page. */
  attach(kernel) {
    if (!kernel || !kernel.handleComms) return this.update();
    const take = (comm) => {
      const changed = (ended) => (ended && ended === this.sessions.get(kernel.id) ? this.forget(kernel.id) : this.paint());
      const session = new KernelSession(kernel, comm, changed);
      this.sessions.set(kernel.id, session);
      this.update();
    };
    kernel.registerCommTarget(TARGET, take);
    kernel
      .requestCommInfo({ target_name: TARGET })
      .then(({ content }) => {
        const [id] = Object.keys(content.comms ?? {});
        if (id && !kernel.hasComm(id)) take(kernel.createComm(TARGET, id));
      })
      .catch(() => {}); // the kernel went away meanwhile
    this.update();
  }

  forget(id) {
    this.sessions.delete(id);
    this.update();
  }

  get kernel() {
    return this.tracker.currentWidget?.sessionContext.session?.kernel ?? null;
  }

  /** Another notebook may be in front, or another session in its kernel. */
  update() {
    const session = this.sessions.get(this.kernel?.id) ?? null;
    if (session !== this.shown) {
      this.hide();
      this.shown = session;
      this.hide = session ? session.show(this.node) : () => {};
    }
    this.paint();
  }

  paint() {
    this.node.hidden = !this.shown;
    if (!this.shown) return;
    const status = this.shown.status();
    const { words, title } = describe(this.shown.figures, status);
    setText(this.words, words);
    this.node.title = title;
    this.node.dataset.word = status.word;
  }
}

function activate(app, shared, tracker, statusBar, palette, launcher) {
  if (!tracker) return;
  const item = new Item(tracker, () => app.commands.execute(DOCK));
  // Notebook 7 has none; whoever opens a comm is answered all the same, else the console has an error
  if (!statusBar) return;
  app.commands.addCommand(DOCK, {
    label: "Dock the dashboard of this notebook's session",
    isEnabled: () => item.shown !== null,
    execute: () => {
      const session = item.shown;
      if (!session) return;
      const late = setTimeout(() => shared.Notification.info(LATE), LATE_MS);
      session.onAnswer = ({ type, panel, error }) => {
        clearTimeout(late);
        if (type === "refused") shared.Notification.error(error);
        else if (panel) app.shell.activateById(panel);
      };
      session.comm.send({ type: "dock" });
    },
  });
  app.commands.addCommand(PAGE, {
    label: ({ isPalette }) => (isPalette ? "Open the page of this notebook's session" : "tes_nb page"),
    caption: "What the session of the notebook in front shows, in a tab of its own that no busy cell holds up",
    execute: () => {
      const url = item.shown?.figures?.url;
      if (url) window.open(url, "_blank", "noopener");
      else shared.Notification.info(NO_SESSION);
    },
  });
  for (const command of [DOCK, PAGE]) palette?.addItem({ command, category: NAME, args: { isPalette: true } });
  launcher?.add({ command: PAGE, category: "Other" });
  statusBar.registerStatusItem(`${NAME}:item`, { item: new shared.Widget({ node: item.node }), align: "left", rank: 3 });
}

/** The one version of a shared module that JupyterLab itself uses; {} = this application has none. */
export async function take(scope, name) {
  const versions = Object.values(scope[name] ?? {});
  const chosen = versions.find(({ loaded }) => loaded) ?? versions.at(-1);
  return chosen ? (await chosen.get())() : {};
}

async function createPlugin(scope) {
  const modules = ["@jupyterlab/notebook", "@jupyterlab/statusbar", "@jupyterlab/apputils", "@jupyterlab/launcher", "@lumino/widgets"];
  const [{ INotebookTracker }, { IStatusBar }, { ICommandPalette, Notification }, { ILauncher }, { Widget }] = await Promise.all(
    modules.map((name) => take(scope, name)),
  );
  const tokens = [INotebookTracker, IStatusBar, ICommandPalette, ILauncher];
  return {
    id: `${NAME}:plugin`,
    description: "Memory, CPU and state of the kernel in front, in the status bar.",
    autoStart: true,
    optional: tokens.filter(Boolean),
    activate: (app, ...services) => {
      const given = tokens.map((token) => (token ? services.shift() : null));
      activate(app, { Widget, Notification }, ...given);
    },
  };
}

if (typeof window !== "undefined") {
  let scope = null;
  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB[NAME] = {
    init: (given) => void (scope = given),
    get: async (name) => {
      if (name !== "./extension") throw new Error(`${NAME} has no module ${name}.`);
      const plugin = await createPlugin(scope);
      return () => ({ __esModule: true, default: plugin });
    },
  };
}
