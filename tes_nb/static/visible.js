// Whether anybody can see a view, and whether anybody is there at all. Only then is anything sent for it.

export const IDLE_MS = 15 * 60_000;
const ALIVE_MS = 20_000;
const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

/**
 * Watch `element`; call `changed({visible, idle})` on each change and `alive()` every 20 s while it is visible.
 *
 * Visible: the tab is shown and a part of the element is on the screen. Idle: nobody touched anything for 15 minutes.
 *
 * @returns {() => void} the function that ends it
 */
export function watchVisible(element, changed, alive, { idleMs = IDLE_MS } = {}) {
  let onScreen = false;
  let lastInput = Date.now();
  let told = null;
  const tell = () => {
    const idle = Date.now() - lastInput > idleMs;
    const visible = onScreen && document.visibilityState === "visible" && !idle;
    if (told && told.visible === visible && told.idle === idle) return;
    told = { visible, idle };
    changed(told);
  };
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
    tell();
  });
  const touched = () => {
    lastInput = Date.now();
    if (told?.idle) tell();
  };
  observer.observe(element);
  document.addEventListener("visibilitychange", tell);
  for (const kind of INPUT) document.addEventListener(kind, touched, { capture: true, passive: true });
  const timer = setInterval(() => {
    tell();
    if (told?.visible) alive();
  }, Math.min(ALIVE_MS, idleMs));
  return () => {
    observer.disconnect();
    clearInterval(timer);
    document.removeEventListener("visibilitychange", tell);
    for (const kind of INPUT) document.removeEventListener(kind, touched, { capture: true });
  };
}
