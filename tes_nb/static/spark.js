// A trend the size of a word, as SVG.

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 110;
const HEIGHT = 26;

export class Spark {
  constructor(label) {
    this.element = document.createElementNS(NS, "svg");
    for (const [name, value] of Object.entries({ class: "tes-spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" })) {
      this.element.setAttribute(name, value);
    }
    this.element.setAttribute("aria-label", `Trend of ${label}`);
    this.path = document.createElementNS(NS, "path");
    this.element.append(this.path);
  }

  /** Draw these values, oldest first; what is no number breaks the line. */
  draw(values) {
    this.path.setAttribute("d", sparkPath(values));
  }
}

/** Return the SVG path of a trend between its smallest and largest value. */
export function sparkPath(values) {
  const numbers = values.filter(drawable);
  if (numbers.length === 0) return "";
  const low = numbers.reduce((a, b) => Math.min(a, b));
  const high = numbers.reduce((a, b) => Math.max(a, b));
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const y = (value) => (high === low ? HEIGHT / 2 : HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4));
  let pen = "M";
  return values
    .map((value, place) => {
      if (!drawable(value)) {
        pen = "M";
        return "";
      }
      const point = `${pen}${(place * step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return point;
    })
    .join("");
}

function drawable(value) {
  return Number.isFinite(value) && Math.abs(value) <= 1e300;
}
