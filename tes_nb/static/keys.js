// A chart by keyboard.

export const KEYS_HELP =
  "Left and right move the cursor, with shift the picture; plus and minus zoom, 0 shows the whole window, space pauses.";
const STEP_PX = 8;

/** Carry out one key press on a chart. */
export function handleKey(chart, event) {
  const act = ACTIONS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(chart, event);
}

const ACTIONS = {
  ArrowLeft: (chart, event) => (event.shiftKey ? pan(chart, -0.2) : moveCursor(chart, -STEP_PX)),
  ArrowRight: (chart, event) => (event.shiftKey ? pan(chart, 0.2) : moveCursor(chart, STEP_PX)),
  "+": (chart) => scale(chart, 0.5),
  "=": (chart) => scale(chart, 0.5),
  "-": (chart) => scale(chart, 2),
  0: (chart) => chart.zoomTo(null),
  Escape: (chart) => chart.zoomTo(null),
  " ": (chart) => chart.setPaused(!chart.isPaused()),
};

function moveCursor(chart, by) {
  const plot = chart.panels[0]?.plot;
  if (!plot) return;
  const right = plot.over.clientWidth;
  const left = plot.cursor.left >= 0 ? plot.cursor.left : right;
  plot.setCursor({ left: Math.max(0, Math.min(right, left + by)), top: plot.over.clientHeight / 2 });
}

function pan(chart, share) {
  const [from, to] = chart.range();
  const by = (to - from) * share;
  chart.zoomTo([from + by, to + by]);
}

function scale(chart, factor) {
  const [from, to] = chart.range();
  const middle = (from + to) / 2;
  const half = Math.max(0.05, ((to - from) * factor) / 2);
  chart.zoomTo([middle - half, middle + half]);
}
