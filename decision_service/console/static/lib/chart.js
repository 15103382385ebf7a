// Lines over time: small ones inside tiles, large ones with axes and a cursor.
import uPlot from "../vendor/uPlot.esm.js";
import { h, svg } from "./dom.js";
import { figure, time } from "./format.js";

/** A small line without axes. `values` may hold nulls; `said`: what it shows, for who cannot see it. */
export function spark(values, said, colour = "var(--series-1)") {
  const known = values.filter((value) => value !== null);
  const width = 160, height = 34, top = Math.max(...known, 0), low = Math.min(...known, 0);
  const x = (place) => (place / Math.max(values.length - 1, 1)) * width;
  const y = (value) => (top === low ? height - 2 : height - 2 - ((value - low) / (top - low)) * (height - 4));
  let path = "", open = false;
  values.forEach((value, place) => {
    if (value === null) { open = false; return; }
    path += `${open ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
    open = true;
  });
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": said },
    svg("line", { x1: 0, x2: width, y1: height - 1, y2: height - 1, stroke: "var(--line)", "vector-effect": "non-scaling-stroke" }),
    known.length > 0 && svg("path", { d: path, fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-linejoin": "round",
      "vector-effect": "non-scaling-stroke" }));
}

/**
 * Lines over time with a legend that tells the values under the cursor.
 * `series`: `[{ name, colour: "--series-1", fill, dash }]`; `draw(times_ms, columns)` shows them; `end()` when it goes.
 */
export function chart(series, { height = 190, said = "", format = figure } = {}) {
  const plot = h("div", { class: "chart", role: "img", "aria-label": said });
  const values = series.map(() => h("b", {}));
  const legend = h("p", { class: "legend" },
    series.map((one, place) => h("span", { style: { "--swatch": `var(${one.colour})` } }, one.name, " ", values[place])),
    h("i", { class: "at" }));
  const root = h("div", {}, plot, legend);
  let drawn = null, data = null;

  /** What stands under the cursor; without one, the latest. */
  function tell(place) {
    const at = place ?? data[0].length - 1;
    legend.lastChild.textContent = place === null ? "now" : time(data[0][at] * 1000).slice(0, 5);
    values.forEach((value, number) => { value.textContent = format(data[number + 1][at]); });
  }

  function make() {
    drawn?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
      font: "11px system-ui, sans-serif" };
    drawn = new uPlot({
      width: Math.max(plot.clientWidth, 120), height, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : low < 0 ? 0 : 1] } },
      axes: [{ ...axis, size: 26, space: 70, values: (_, ticks) => ticks.map((s) => time(s * 1000).slice(0, 5)) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map((value) => format(value)) }],
      series: [{}, ...series.map((one) => ({ label: one.name, stroke: colour(one.colour), width: 1.6, dash: one.dash, spanGaps: false,
        fill: one.fill ? colour("--band") : undefined, points: { show: false } }))],
      hooks: { setCursor: [(self) => tell(self.cursor.idx ?? null)] },
    }, data, plot);
  }

  const sized = new ResizeObserver(() => { if (drawn && plot.clientWidth > 0) drawn.setSize({ width: plot.clientWidth, height }); });
  const recolour = () => { if (drawn) make(); };
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  sized.observe(plot);
  window.addEventListener("sidearm-theme", recolour);
  scheme.addEventListener("change", recolour);

  return {
    root,
    draw(times_ms, columns) {
      data = [times_ms.map((ms) => ms / 1000), ...columns];
      tell(drawn?.cursor.idx ?? null);
      if (drawn) drawn.setData(data);
      else requestAnimationFrame(() => { if (drawn === null && plot.isConnected) make(); });
    },
    end() {
      sized.disconnect();
      window.removeEventListener("sidearm-theme", recolour);
      scheme.removeEventListener("change", recolour);
      drawn?.destroy();
      drawn = null;
    },
  };
}

/** How much more than nothing: an interval on a line through zero, with its ends named. */
export function gain(lower, value, upper, said, format = figure) {
  const reach = Math.max(Math.abs(lower), Math.abs(upper), Math.abs(value), 1e-9) * 1.1;
  const x = (at) => `${(50 + (at / reach) * 50).toFixed(2)}%`;
  const colour = lower > 0 ? "var(--good)" : upper < 0 ? "var(--bad)" : "var(--faint)";
  const wide = `${(((upper - lower) / reach) * 50).toFixed(2)}%`;
  return h("div", { class: "gain" },
    svg("svg", { role: "img", "aria-label": said },
      svg("line", { x1: "0%", x2: "100%", y1: 28, y2: 28, stroke: "var(--line-strong)" }),
      svg("line", { x1: "50%", x2: "50%", y1: 4, y2: 52, stroke: "var(--faint)", "stroke-dasharray": "3 3" }),
      svg("rect", { x: x(lower), width: wide, y: 20, height: 16, rx: 4, fill: colour, "fill-opacity": 0.28 }),
      svg("line", { x1: x(lower), x2: x(lower), y1: 18, y2: 38, stroke: colour, "stroke-width": 2 }),
      svg("line", { x1: x(upper), x2: x(upper), y1: 18, y2: 38, stroke: colour, "stroke-width": 2 }),
      svg("circle", { cx: x(value), cy: 28, r: 6, fill: colour, stroke: "var(--card)", "stroke-width": 2 })),
    h("p", { "aria-hidden": "true" }, h("span", {}, format(-reach)), h("span", {}, "drawing evenly"), h("span", {}, `+${format(reach)}`)));
}
