// Small pictures that stand in a line of text: a course, an interval, a share.
import { h, svg } from "./dom.js";
import { figure, fixed, signed } from "./format.js";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** A line over time with its 95 % band. `label` is what it shows, for who cannot see it. */
export function spark({ values, errors = null, label }) {
  const points = values.map((value, place) => ({ place, value, error: errors?.[place] ?? 0 })).filter((one) => known(one.value));
  if (points.length < 2) return h("p", { class: "spark-none hint" }, "No course yet.");
  const [width, height] = [240, 44];
  const tops = points.map((one) => one.value + 1.96 * one.error), bottoms = points.map((one) => one.value - 1.96 * one.error);
  const middles = points.map((one) => one.value);
  const spread = Math.max(...middles) - Math.min(...middles);
  const cut = Math.max(spread * 1.5, Math.abs(middles.at(-1)) * 0.05, 1e-12);
  const high = Math.min(Math.max(...tops), Math.max(...middles) + cut), low = Math.max(Math.min(...bottoms), Math.min(...middles) - cut);
  const x = (place) => (place / (values.length - 1)) * width;
  const y = (value) => height - 3 - ((Math.min(Math.max(value, low), high) - low) / (high - low || 1)) * (height - 6);
  const line = (list) => list.map(([place, value]) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" L");
  const over = points.map((one, n) => [one.place, tops[n]]), under = points.map((one, n) => [one.place, bottoms[n]]).reverse();
  const last = points.at(-1);
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${label}: from ${figure(points[0].value)} to ${figure(last.value)}` },
  errors && svg("path", { class: "spark-band", d: `M${line(over)} L${line(under)} Z` }),
  svg("path", { class: "spark-line", d: `M${line(points.map((one) => [one.place, one.value]))}` }));
}

/** Where an interval lies between `domain`'s ends; with a line at `zero` if that is between them. */
export function interval({ value, lower, upper, domain: [low, high], zero = null, label, state = "" }) {
  if (!known(value)) return h("span", { class: "hint" }, "–");
  const at = (number) => Math.min(Math.max((number - low) / (high - low || 1), 0), 1) * 100;
  const whole = known(lower) && known(upper);
  return svg("svg", { class: `interval ${state}`, viewBox: "0 0 100 14", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "interval-axis", x1: 0, x2: 100, y1: 7, y2: 7 }),
    zero !== null && zero >= low && zero <= high && svg("line", { class: "interval-zero", x1: at(zero), x2: at(zero), y1: 0, y2: 14 }),
    whole && svg("rect", { class: "interval-bar", x: at(lower), width: Math.max(at(upper) - at(lower), 0.6), y: 4, height: 6, rx: 1 }),
    svg("rect", { class: "interval-value", x: Math.max(at(value) - 0.6, 0), width: 1.2, y: 1, height: 12 }));
}

/** 0.0731 ± 0.0021, with as many places as the interval has meaning for; or the figure alone. */
export function estimate({ value, lower, upper }) {
  if (!known(value)) return "–";
  if (!known(lower) || !known(upper)) return h("span", { title: "Too few rewards for an interval" }, figure(value));
  const half = (upper - lower) / 2;
  const places = half > 0 ? Math.min(Math.max(1 - Math.floor(Math.log10(half)), 0), 9) : 3;
  return h("span", {}, fixed(value, places), h("span", { class: "spread" }, ` ± ${fixed(half, places)}`));
}

/** The figure, signed, and between which bounds it lies. */
export function between(value, lower, upper) { return `${signed(value)} (${signed(lower)} to ${signed(upper)})`; }

/** A share as a bar that can be compared with those above and below. */
export function shareBar(share, of = 1) {
  return svg("svg", { class: "share-bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "share-all", x: 0, y: 2, width: 100, height: 6, rx: 1 }),
    svg("rect", { class: "share-own", x: 0, y: 2, width: Math.max((share / (of || 1)) * 100, share > 0 ? 0.7 : 0), height: 6, rx: 1 }));
}
