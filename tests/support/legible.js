// What a page paints, and what of it a person cannot read. Two expressions; legible.py takes them apart.
(() => {
const painted = (window.painted = new WeakMap());
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...given) {
  painted.set(this.canvas, []);
  return clear.apply(this, given);
};
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
  const { width, actualBoundingBoxAscent: up, actualBoundingBoxDescent: down } = this.measureText(text);
  const left = { left: x, start: x, center: x - width / 2, right: x - width, end: x - width }[this.textAlign];
  const scale = this.canvas.width / (this.canvas.clientWidth || this.canvas.width);
  const corner = ([x, y]) => { const at = this.getTransform().transformPoint({ x, y }); return [at.x / scale, at.y / scale]; };
  const [one, other] = [[left, y - up], [left + width, y + down]].map(corner);
  const box = [0, 1].flatMap((n) => [Math.min(one[n], other[n]), Math.max(one[n], other[n])]);
  painted.set(this.canvas, [...(painted.get(this.canvas) ?? []), { text: String(text), box, colour: this.fillStyle }]);
  return fill.call(this, text, x, y, ...more);
};
})()
// ====
(root) => {
const CONTRAST = 4.5; // WCAG AA
const LARGE = 3; // of 24 px, or of 18.66 px in bold
const FIGURE = 4; // plotly's words have one grey for light and dark ground: more than 4.4 on both there is not
const frame = root.getBoundingClientRect();
const boxes = [];
const faults = [];

// Colours: any CSS notation → [r, g, b, a], by way of a pixel.
const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
const colours = new Map();
const rgba = (colour) => {
  if (!colours.has(colour)) {
    pixel.globalCompositeOperation = "copy";
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    colours.set(colour, [r, g, b, a / 255]);
  }
  return colours.get(colour);
};
const over = ([r, g, b, a], below) => [r, g, b].map((part, n) => part * a + below[n] * (1 - a));
const grounds = new Map();
const groundOf = (element) => {
  if (!element) return [255, 255, 255];
  if (!grounds.has(element)) {
    const own = rgba(getComputedStyle(element).backgroundColor);
    grounds.set(element, own[3] === 1 ? own.slice(0, 3) : over(own, groundOf(element.parentElement)));
  }
  return grounds.get(element);
};
const light = (colour) => {
  const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (colour, element) => {
  const ground = groundOf(element);
  const [r, g, b, a] = rgba(colour);
  let opacity = a;
  for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
  const [high, low] = [light(over([r, g, b, opacity], ground)), light(ground)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};
const checkContrast = (text, element, colour, style) => {
  if (element.closest(":disabled, [aria-disabled='true']")) return; // what cannot act need not be read
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const least = element.closest(".main-svg") ? FIGURE : isLarge ? LARGE : CONTRAST;
  const found = contrast(colour, element);
  if (found < least - 0.01) faults.push(`contrast ${found.toFixed(2)}: ${text.slice(0, 60)}`);
};

const clips = (style) => !["visible", "clip"].includes(style.overflowX) || !["visible", "clip"].includes(style.overflowY);
const scrolls = (style) => [style.overflowX, style.overflowY].some((one) => one === "auto" || one === "scroll");
const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const text = node.textContent.trim();
  const parent = node.parentElement;
  if (!text || text === "·" || !parent.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || parent.closest("style, script, option, title")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  let wasSeen = false;
  for (const rect of range.getClientRects()) {
    if (rect.width < 1 || rect.height < 1) continue;
    let box = { left: rect.left, right: rect.right, top: rect.top, bottom: rect.bottom };
    let isReached = Boolean(parent.closest(".scrollbox")); // by a scroll, or by the title that has the whole text
    let isSeen = true;
    for (let one = parent; one && one !== root.parentElement; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (!clips(style)) continue;
      const edge = one.getBoundingClientRect();
      isReached ||= scrolls(style) || Boolean(one.closest(".tes-messages")) || (style.textOverflow === "ellipsis" && Boolean(one.closest("[title]:not([title=''])")));
      const cut = Math.max(edge.left - box.left, box.right - edge.right, edge.top - box.top, box.bottom - edge.bottom);
      if (cut > 2 && !isReached) faults.push(`cut by ${Math.round(cut)} px: ${text.slice(0, 60)}`);
      box = { left: Math.max(box.left, edge.left), right: Math.min(box.right, edge.right), top: Math.max(box.top, edge.top), bottom: Math.min(box.bottom, edge.bottom) };
      isSeen &&= box.right - box.left > 1 && box.bottom - box.top > 1;
    }
    if (!isSeen) continue;
    wasSeen = true;
    if (box.left < frame.left - 1 || box.right > frame.right + 1) faults.push(`outside its view: ${text.slice(0, 60)}`);
    boxes.push({ text, node, parent, box });
  }
  const style = getComputedStyle(parent);
  if (wasSeen) checkContrast(text, parent, parent.closest("svg") ? style.fill : style.color, style);
}
for (const canvas of root.querySelectorAll("canvas")) {
  const at = canvas.getBoundingClientRect();
  if (!at.width || !canvas.checkVisibility()) continue;
  for (const { text, colour, box: [left, right, top, bottom] } of window.painted?.get(canvas) ?? []) {
    if (left < -1 || right > at.width + 1 || top < -1 || bottom > at.height + 1) faults.push(`cut by its canvas: ${text}`);
    boxes.push({ text, node: canvas, parent: canvas, box: { left: at.left + left, right: at.left + right, top: at.top + top, bottom: at.top + bottom } });
    checkContrast(text, canvas, colour, { fontSize: "11px", fontWeight: "400" });
  }
}
const meets = (one, other, inner) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > inner && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > inner;
const floats = (element) => Boolean(element.closest(".tes-tip, .tes-headgroup, .tes-actions, .modebar, .hoverlayer"));
boxes.forEach((one, place) => {
  for (const other of boxes.slice(place + 1)) {
    if (one.node === other.node && one.node.nodeType === Node.TEXT_NODE) continue;
    if (floats(one.parent) !== floats(other.parent)) continue;
    if (meets(one.box, other.box, 2.5)) faults.push(`over each other: ${one.text.slice(0, 40)} | ${other.text.slice(0, 40)}`);
  }
});
return Array.from(new Set(faults));
}
