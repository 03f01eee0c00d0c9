// Colours for canvases, read from the CSS variables of whoever shows us, and read again when the theme changes.

/** Told apart also by colour-blind readers (Okabe and Ito); for dark ground the dark ones are lightened. */
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b87f00", "#2f95cc", "#8c6bb1", "#7f7f7f"];
const DARK = ["#4db3f0", "#ff8a4c", "#3ddbab", "#ee9fcb", "#ffc247", "#8ad0ff", "#b79be0", "#b0b0b0"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const ROLES = ["fg", "quiet", "ground", "line", "accent", "bad", "warn", "good"];

/** Return {fg, quiet, ground, line, grid, accent, bad, warn, good: css colours, dark, strong: booleans}. */
export function readTheme(element) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.forcedColorAdjust = "none";
  element.append(probe);
  const theme = {};
  for (const role of ROLES) {
    probe.style.color = `var(--tes-${role})`;
    theme[role] = getComputedStyle(probe).color;
  }
  probe.style.color = "color-mix(in srgb, var(--tes-line) 55%, var(--tes-ground))";
  theme.grid = getComputedStyle(probe).color;
  probe.remove();
  theme.dark = luminance(theme.ground) < 0.4;
  theme.strong =
    matchMedia("(forced-colors: active), (prefers-contrast: more)").matches ||
    /high contrast/i.test(document.body.dataset.jpThemeName ?? "");
  return theme;
}

/** Relative brightness of "rgb(r, g, b)", 0 to 1. */
function luminance(colour) {
  const [red = 255, green = 255, blue = 255] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  const scale = colour.includes("srgb") ? 1 : 255;
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / scale;
}

/** The line style of a colour's number: colours repeat after eight, then with dashes; `dash` more of these. */
export function seriesStyle(theme, index, dash = 0) {
  const colours = theme.dark ? DARK : LIGHT;
  const round = dash + (theme.strong ? index : Math.floor(index / colours.length));
  return {
    stroke: colours[index % colours.length],
    dash: DASHES[round % DASHES.length],
    width: theme.strong ? 2.5 : 1.75,
  };
}

/** Call `changed` whenever the colours may be others; return the function that stops it. */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["class", "style", "data-jp-theme-name", "data-jp-theme-light", "data-theme"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  observer.observe(document.documentElement, { attributes: true, attributeFilter });
  const queries = ["(prefers-color-scheme: dark)", "(forced-colors: active)", "(prefers-contrast: more)"].map((q) =>
    matchMedia(q),
  );
  for (const query of queries) query.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    for (const query of queries) query.removeEventListener("change", changed);
  };
}

/** Look → [colour's role, pattern, word of the legend]. */
export const LOOKS = {
  idle: ["quiet", "", "idle"],
  working: ["good", "/", "working"],
  pause: ["warn", "-", "pause"],
  error: ["bad", "x", "error"],
  terminated: ["quiet", ".", "ended"],
  other: ["fg", "+", "other"],
  open: ["accent", "", "connected"],
  gap: ["warn", "|", "gap"],
};
const PALE = new Set(["idle", "terminated"]);

/** Fill a rectangle with a look's colour, and its pattern in the colour of the ground. */
export function paintLook(ctx, theme, look, left, top, width, height) {
  const [role, pattern] = LOOKS[look] ?? LOOKS.other;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = ctx.strokeStyle = theme[role];
  ctx.globalAlpha = PALE.has(look) ? 0.4 : 0.85;
  ctx.fillRect(left, top, width, height);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = ctx.fillStyle = theme.ground;
  ctx.lineWidth = 1.5;
  const first = Math.floor(left / 8) * 8;
  const count = Math.ceil(width / 8) + 3;
  const line = (x0, y0, x1, y1) => {
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
  };
  ctx.beginPath();
  for (let at = 0; at < count && pattern; at++) {
    const x = first + 8 * (at - 1);
    if (pattern === "/" || pattern === "x") line(x, top + height, x + height, top);
    if (pattern === "x") line(x, top, x + height, top + height);
    if (pattern === "|" || pattern === "+") line(x, top, x, top + height);
    if (pattern === ".") for (const y of [4, 10]) ctx.rect(x, top + y, 1.5, 1.5);
  }
  if (pattern === "-" || pattern === "+") for (const y of [height / 3, (2 * height) / 3]) line(left, top + y, left + width, top + y);
  ctx.stroke();
  ctx.restore();
}
