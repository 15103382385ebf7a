// A table: columns say how, rows say what.
import { h } from "./dom.js";

/**
 * `columns`: `{ name, cell: (row) => text or node, number: true for figures, class }`.
 * `options`: `caption` (read out, not shown), `empty` (said where there are no rows), `row: (row) => props`.
 */
export function table(columns, rows, { caption = "", empty = "Nothing yet.", row: props = () => ({}) } = {}) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const side = (column) => [column.number && "number", column.class].filter(Boolean).join(" ") || null;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption || "Table" },
    h("table", {},
      caption && h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: side(column) }, column.name)))),
      h("tbody", {}, rows.map((one) => h("tr", props(one), columns.map((column, place) =>
        h(place === 0 ? "th" : "td", { scope: place === 0 ? "row" : null, class: side(column) }, column.cell(one))))))));
}
