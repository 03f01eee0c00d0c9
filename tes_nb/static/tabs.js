// Tabs by the usual pattern: arrows move, one panel is shown, views in hidden panels draw nothing.

import { make } from "./dom.js";

let groups = 0;

export class Tabs {
  /**
   * @param {HTMLElement} el
   * @param {string} label
   * @param {{address?: boolean, onChoose?: (tab: object) => void}} [options] address: the page's address remembers the
   *   tab; onChoose: called before a tab's views are shown
   */
  constructor(el, label, { address = false, onChoose = () => {} } = {}) {
    this.group = groups++;
    this.address = address;
    this.onChoose = onChoose;
    this.visible = true;
    this.list = make("div", { class: "tes-tabs", role: "tablist", "aria-label": label });
    this.panels = make("div");
    this.tabs = [];
    this.list.addEventListener("keydown", (event) => this.key(event));
    el.append(this.list, this.panels);
  }

  /** Add a tab, in front of another one or as the last; return {panel, views}: put views with `setVisible` into the list. */
  add(name, title, before = null) {
    const id = `tes-tab-${this.group}-${this.tabs.length}`;
    const on = { click: () => this.choose(tab) };
    const head = make("button", { type: "button", role: "tab", id, text: title, "aria-controls": `${id}-panel`, on });
    const panel = make("div", { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": id, tabindex: 0, hidden: true });
    const tab = { name, head, panel, views: [] };
    const place = before ? this.tabs.indexOf(before) : this.tabs.length;
    this.tabs.splice(place, 0, tab);
    this.list.insertBefore(head, before ? before.head : null);
    this.panels.insertBefore(panel, before ? before.panel : null);
    return tab;
  }

  /** Show a tab. */
  choose(tab) {
    for (const one of this.tabs) {
      const selected = one === tab;
      one.head.setAttribute("aria-selected", String(selected));
      one.head.tabIndex = selected ? 0 : -1;
      one.panel.hidden = !selected;
    }
    this.selected = tab;
    this.onChoose(tab);
    this.setVisible(this.visible);
    if (this.address) history.replaceState(null, "", `#${encodeURIComponent(tab.name)}`);
  }

  /** Let the views of the selected tab draw, or none. */
  setVisible(visible) {
    this.visible = visible;
    for (const one of this.tabs) for (const view of one.views) view.setVisible(visible && one === this.selected);
  }

  /** Show the tab that the address names, else the first. */
  chooseFromAddress() {
    const name = decodeURIComponent(location.hash.slice(1));
    this.choose(this.tabs.find((tab) => tab.name === name) ?? this.tabs[0]);
  }

  key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = this.tabs.findIndex(({ head }) => head === document.activeElement);
    const next = this.tabs[(at + by + this.tabs.length) % this.tabs.length];
    this.choose(next);
    next.head.focus();
  }
}
