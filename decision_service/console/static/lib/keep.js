// Drawing again without taking anything out of somebody's hands: focus, places in long tables, what was opened.
import { put } from "./dom.js";

/** `root` gets what `build()` makes; elements with the same `data-keep` are taken for the same. */
export function redraw(root, build) {
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.keep : undefined;
  const scrolled = [...root.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  const opened = new Set([...root.querySelectorAll("details[open][data-keep]")].map((one) => one.dataset.keep));
  put(root, build());
  root.querySelectorAll(".scroll").forEach((one, place) => { [one.scrollLeft, one.scrollTop] = scrolled[place] ?? [0, 0]; });
  root.querySelectorAll("details[data-keep]").forEach((one) => { one.open = opened.has(one.dataset.keep); });
  if (focused !== undefined) find(root, focused)?.focus({ preventScroll: true });
}

/** Calls `show` only with data that differs from the last. */
export function changed(show) {
  let last;
  return (data) => {
    const text = JSON.stringify(data);
    if (text !== last) { last = text; show(data); }
  };
}

function find(root, name) {
  return [...root.querySelectorAll("[data-keep]")].find((one) => one.dataset.keep === name);
}
