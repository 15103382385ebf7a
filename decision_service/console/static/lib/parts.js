// What pages are made of.
import { h } from "./dom.js";

/** A part of a page with its heading. */
export function card(title, { hint = "", wide = false, class: kind = "" } = {}, ...children) {
  return h("section", { class: `card ${wide ? "wide" : ""} ${kind}` },
    h("header", {}, h("h2", {}, title), hint && h("p", { class: "hint" }, hint)), children);
}

/** One figure with its name and what stands below it. `state`: "good", "warn", "bad" or nothing. */
export function tile(name, value, { unit = "", below = "", state = "", extra = null } = {}) {
  return h("section", { class: `tile ${state}` },
    h("h2", {}, name),
    h("p", { class: "value" }, value, unit && h("span", { class: "unit" }, ` ${unit}`)),
    below && h("p", { class: "below" }, below), extra);
}

/** A word in a coloured pill; the word says it, the colour only helps. */
export function pill(word, state = "") { return h("span", { class: `pill ${state}` }, word); }

/** There is nothing to show, and why. */
export function empty(title, ...what) { return h("div", { class: "empty-state" }, h("h2", {}, title), h("p", {}, what)); }

/** It could not be had. */
export function failed(error) {
  return h("div", { class: "empty-state bad", role: "alert" }, h("h2", {}, "This could not be loaded"),
    h("p", {}, String(error.message ?? error)));
}

/** Ask before something is changed; resolves to whether it was confirmed. `body`: nodes that argue for it. */
export function confirm(title, body, { yes = "Do it", no = "Cancel", danger = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "confirm", "aria-labelledby": "confirm-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "confirm-title" }, title), h("div", { class: "confirm-body" }, body),
        h("menu", {},
          h("button", { value: "no", class: "quiet", autofocus: true }, no),
          h("button", { value: "yes", class: danger ? "danger" : "primary" }, yes))));
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
