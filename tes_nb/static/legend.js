// The legend of a panel: a button per series, with its newest value or the one under the cursor.

import { make, setText } from "./dom.js";
import { formatValue, shorten } from "./format.js";
import { seriesStyle } from "./theme.js";

export class Legend {
  constructor(chart, unit) {
    this.chart = chart;
    this.unit = unit;
    this.rows = [];
    this.element = make("ul", { class: "tes-legend" });
  }

  setSeries(members) {
    this.rows = members.map(({ series, index }) => this.row(series, index));
    this.element.replaceChildren(...this.rows.map(({ item }) => item));
  }

  row(series, index) {
    const swatch = make("span", { class: "tes-swatch" });
    const value = make("span", { class: "tes-value" });
    const title = `${shorten(series.name, 300)}: click shows or hides it, shift-click shows it alone`;
    const on = { click: (event) => this.chart.toggle(series.key, event.shiftKey) };
    const button = make("button", { type: "button", title, on }, [
      swatch,
      make("span", { class: "tes-name", text: shorten(series.name, 80) }),
      value,
    ]);
    return { series, index, swatch, value, button, item: make("li", {}, [button]) };
  }

  /** Colours and pressed states. */
  paint(theme) {
    for (const { series, index, swatch, button } of this.rows) {
      const { stroke, dash } = seriesStyle(theme, index);
      swatch.style.borderTop = `3px ${dash.length ? "dashed" : "solid"} ${stroke}`;
      button.setAttribute("aria-pressed", String(!this.chart.isHidden(series.key)));
    }
  }

  /** Show these values, in the order of the series; null = the newest ones. */
  paintValues(values) {
    this.rows.forEach(({ series, value, button }, place) => {
      const shown = values === null ? series.ring.lastValue : values[place];
      setText(value, formatValue(shown, this.unit));
      button.classList.toggle("tes-passed", this.chart.isPassed(series));
    });
  }
}
