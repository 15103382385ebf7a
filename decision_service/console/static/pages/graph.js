// The feature graph, drawn by depth: what needs what, what it may cost, what it took and how it came out.
import { h, svg } from "../lib/dom.js";
import { count, figure, lasting, percent, time } from "../lib/format.js";
import { changed, redraw } from "../lib/keep.js";
import { card, empty, failed, pill } from "../lib/parts.js";
import { table } from "../lib/table.js";

export const title = "Graph";

const [WIDTH, HEIGHT, ACROSS, DOWN, EDGE] = [168, 54, 46, 14, 10];
const SWEEPS = 6;
const BAD = ["failed", "timed_out", "upstream_failed", "cancelled"];
const LOOKS = { first: "first look", second: "second look", both: "both looks", none: "no goal needs it" };
const WORDS = { ok: "ok", fallback: "fallback", failed: "failed", timed_out: "timed out", upstream_failed: "something before it failed", cancelled: "cancelled", given: "given" };

export async function show(root, api, live) {
  const state = { chosen: null, inputs: false };
  let data = null;
  const draw = () => redraw(root, () => page(data, state, choose));
  const news = changed((fresh) => { data = fresh; draw(); });
  function choose(what, value) { state[what] = value; draw(); }
  news(await api.get("/v1/console/graph"));
  return live("graph", news, (problem) => redraw(root, () => [h("h1", {}, title), failed(new Error(problem.detail ?? problem.title))]));
}

function page(data, state, choose) {
  if (data.nodes.length === 0) {
    return [h("h1", {}, title), empty("This application has no feature graph",
      "Every feature comes with the request. A file of functions, named in app.toml under features, fetches more: docs/features.md says how.")];
  }
  const chosen = data.nodes.find((one) => one.name === state.chosen) ?? null;
  return [head(data, state, choose),
    h("section", { class: "card wide" }, drawing(data, state, choose), legend()),
    chosen ? details(data, chosen, choose) : h("p", { class: "hint" }, "Choose a node to see all that is known of it."),
    nodesTable(data, choose),
    mermaid(data)];
}

function head(data, state, choose) {
  const told = data.runs === 0 ? "no run was looked at in the last two minutes"
    : `${count(data.runs)} runs of the last two minutes were looked at, in ${count(data.services)} ${data.services === 1 ? "process" : "processes"}`;
  const box = h("input", { type: "checkbox", id: "graph-inputs", "data-keep": "inputs", checked: state.inputs, onchange: (event) => choose("inputs", event.target.checked) });
  return h("div", { class: "page-head" }, h("h1", {}, title), h("span", { class: "row" },
    h("span", { class: "hint" }, `${told}; a request waits for ${lasting(data.deadline_ms)}`),
    h("span", { class: "row check" }, box, h("label", { for: "graph-inputs" }, "Inputs"))));
}

/** Where each node stands: columns by depth, within them near what they need and what needs them. */
function layout(nodes) {
  const columns = Object.values(Object.groupBy(nodes, (one) => one.depth));
  const most = Math.max(...columns.map((one) => one.length));
  const places = new Map();
  const settle = (column, x) => column.forEach((node, y) => places.set(node.name, { x, y: y + (most - column.length) / 2 }));
  const beside = new Map(nodes.map((one) => [one.name, one.needs.map((other) => other.node)]));
  for (const node of nodes) for (const other of node.needs) beside.get(other.node)?.push(node.name);
  columns.forEach(settle);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    columns.forEach((column, x) => {
      const wish = new Map(column.map((node) => [node, middle(beside.get(node.name).map((one) => places.get(one)?.y), places.get(node.name).y)]));
      column.sort((a, b) => wish.get(a) - wish.get(b));
      settle(column, x);
    });
  }
  return { places, columns: columns.length, height: most };
}

function middle(some, otherwise) {
  const known = some.filter((one) => one !== undefined);
  return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : otherwise;
}

function drawing(data, state, choose) {
  const nodes = state.inputs ? data.nodes : data.nodes.filter((one) => one.kind !== "input");
  const { places, columns, height } = layout(nodes);
  const box = (name) => { const at = places.get(name); return { left: at.x * (WIDTH + ACROSS), top: at.y * (HEIGHT + DOWN) }; };
  const near = neighbours(data.nodes, state.chosen);
  const edges = nodes.flatMap((node) => node.needs.filter((one) => places.has(one.node)).map((one) => edge(box(one.node), box(node.name), one, node, near)));
  const [w, tall] = [columns * (WIDTH + ACROSS) - ACROSS + 2 * EDGE, height * (HEIGHT + DOWN) - DOWN + 2 * EDGE];
  return h("div", { class: "scroll graph", tabindex: "0", role: "region", "aria-label": "The graph" },
    svg("svg", { width: w, style: { "min-width": `${Math.round(w * 0.8)}px` }, viewBox: `${-EDGE} ${-EDGE} ${w} ${tall}`, role: "group", "aria-label": "Nodes of the feature graph; the table below says the same" },
      svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
        svg("path", { class: "arrow", d: "M0,0.5 L7.5,4 L0,7.5 Z" }))),
      edges, nodes.map((node) => nodeBox(node, box(node.name), state, near, choose))));
}

/** The chosen node, all before it, and all after it; null: none is chosen. */
function neighbours(nodes, chosen) {
  if (chosen === null) return null;
  const needs = new Map(nodes.map((one) => [one.name, one.needs.map((other) => other.node)]));
  const usedBy = new Map(nodes.map((one) => [one.name, nodes.filter((other) => needs.get(other.name).includes(one.name)).map((other) => other.name)]));
  const walk = (next) => {
    const found = new Set([chosen]);
    for (const name of found) for (const other of next.get(name) ?? []) found.add(other);
    return found;
  };
  return new Set([...walk(needs), ...walk(usedBy)]);
}

function edge(from, to, one, node, near) {
  const [x1, y1, x2, y2] = [from.left + WIDTH, from.top + HEIGHT / 2, to.left - 3, to.top + HEIGHT / 2];
  const bend = Math.max((x2 - x1) / 2, 24);
  const faded = near && !(near.has(one.node) && near.has(node.name));
  return svg("path", { class: `edge ${one.weak ? "weak" : ""} ${faded ? "faded" : ""} ${near && !faded ? "lit" : ""}`, "marker-end": "url(#arrow)",
    d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}` });
}

function nodeBox(node, { left, top }, state, near, choose) {
  const on = state.chosen === node.name;
  const pick = () => choose("chosen", on ? null : node.name);
  const key = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } };
  const rounded = node.kind === "input" ? HEIGHT / 2 : node.kind === "derived" ? 4 : 10;
  const classes = ["node", `is-${health(node)}`, node.kind === "input" ? "input" : "", `look-${node.look}`, near && !near.has(node.name) ? "faded" : "", on ? "chosen" : ""];
  return svg("g", { class: classes.filter(Boolean).join(" "), transform: `translate(${left},${top})`, tabindex: "0", role: "button", "aria-pressed": String(on),
    "data-keep": `node ${node.name}`, "aria-label": `${node.name}, ${node.kind}, ${LOOKS[node.look]}. ${second(node)}`, onclick: pick, onkeydown: key },
  svg("title", {}, node.name),
  svg("rect", { class: "box", width: WIDTH, height: HEIGHT, rx: rounded }),
  ["fetch", "lookup", "each"].includes(node.kind) && svg("rect", { class: "inner", x: 3, y: 3, width: WIDTH - 6, height: HEIGHT - 6, rx: rounded - 3 }),
  svg("circle", { class: "lamp", cx: 16, cy: 20, r: 4 }),
  svg("text", { class: "name", x: 27, y: 24 }, cut(node.name, 20)),
  svg("text", { class: "told", x: 16, y: 43 }, cut(second(node), 27)));
}

/** One node in a line: its time and how often it was well, or what it is. */
function second(node) {
  if (node.kind === "input") return "input";
  if (node.seen === 0) return `${node.kind}, not seen lately`;
  const well = wellShare(node);
  return `${node.p99_ms === null ? node.kind : `p99 ${took(node.p99_ms)}`} · ${well === 1 ? "all ok" : `${percent(well)} ok`}`;
}

/** Milliseconds, or less. */
function took(ms) {
  if (ms === null) return "–";
  return ms < 1 ? `${figure(Math.max(ms * 1000, 1), 2)} µs` : lasting(ms);
}

const wellShare = (node) => (node.seen ? ((node.outcomes.ok ?? 0) + (node.outcomes.given ?? 0)) / node.seen : null);

function health(node) {
  if (node.seen === 0) return "unseen";
  const bad = BAD.reduce((sum, one) => sum + (node.outcomes[one] ?? 0), 0) / node.seen;
  if (bad > 0.01) return "bad";
  return bad > 0 || wellShare(node) < 1 ? "warn" : "good";
}

function cut(text, most) { return [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text; }

function legend() {
  return h("div", { class: "legend graph-legend" },
    h("span", { style: { "--swatch": "var(--good)" } }, "all well"), h("span", { style: { "--swatch": "var(--warn)" } }, "stand-ins, or a failure in a hundred at most"),
    h("span", { style: { "--swatch": "var(--bad)" } }, "fails more often"), h("span", { style: { "--swatch": "var(--line-strong)" } }, "not seen lately"),
    h("span", { class: "plain" }, "double frame: fetched; tinted: first, cheap look; dashed arrow: only if the run decides so"));
}

function details(data, node, choose) {
  const usedBy = data.nodes.filter((one) => one.needs.some((other) => other.node === node.name));
  const link = (one) => h("button", { type: "button", class: "link", "data-keep": `to ${one}`, onclick: () => choose("chosen", one) }, one);
  const links = (some) => (some.length ? some.map((one) => [link(one), " "]) : "nothing");
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return card(node.name, { hint: `${node.kind}, ${LOOKS[node.look]}${node.parts.length ? `, ${node.parts.join(", ")}` : ""}`, wide: true },
    h("dl", { class: "facts" },
      node.kind !== "input" && [
        fact("Last", node.last_ms === null ? "–" : `${took(node.last_ms)}, ${WORDS[node.last_status] ?? node.last_status}, ${time(node.last_at_ms)}`),
        fact("Median", took(node.p50_ms)), fact("p99", took(node.p99_ms)), fact("Seen", count(node.seen)),
        fact("Waits at most", node.timeout_ms === null ? "for the run's time" : lasting(node.timeout_ms)),
        fact("With all before it", node.worst_ms === null ? "no end" : `at most ${lasting(node.worst_ms)}`),
        fact("If it fails", node.has_fallback ? "its fallback" : "no value"),
        node.source && fact("Asks", node.source),
      ],
      fact("Needs", links(node.needs.map((one) => one.node))), fact("Needed by", links(usedBy.map((one) => one.name)))),
    outcomes(node),
    node.trouble && h("p", { class: "trouble" }, h("strong", {}, `Last trouble, ${time(node.trouble_at_ms)}: `), h("code", {}, node.trouble)));
}

function outcomes(node) {
  if (node.seen === 0) return null;
  const state = (one) => (one === "ok" || one === "given" ? "good" : one === "fallback" ? "warn" : "bad");
  return h("p", { class: "row outcomes" }, Object.entries(node.outcomes).sort(([, a], [, b]) => b - a)
    .map(([one, times]) => pill(`${WORDS[one] ?? one} ${percent(times / node.seen)}`, state(one))));
}

function nodesTable(data, choose) {
  const rows = data.nodes.filter((one) => one.kind !== "input");
  return card("Nodes", { hint: "in the order in which they can run", wide: true }, table([
    { name: "Node", cell: (one) => h("button", { type: "button", class: "link", "data-keep": `row ${one.name}`, onclick: () => choose("chosen", one.name) }, one.name) },
    { name: "Kind", cell: (one) => one.kind },
    { name: "Look", cell: (one) => LOOKS[one.look] },
    { name: "Waits at most", number: true, cell: (one) => lasting(one.timeout_ms) },
    { name: "Last", number: true, cell: (one) => took(one.last_ms) },
    { name: "Median", number: true, cell: (one) => took(one.p50_ms) },
    { name: "p99", number: true, cell: (one) => took(one.p99_ms) },
    { name: "Seen", number: true, cell: (one) => count(one.seen) },
    { name: "Well", number: true, cell: (one) => percent(wellShare(one)) },
  ], rows, { caption: "Nodes of the feature graph" }));
}

function mermaid(data) {
  return h("details", { class: "card wide", "data-keep": "mermaid" }, h("summary", {}, "The same as Mermaid, for a document"), h("pre", { class: "scroll", tabindex: "0" }, data.mermaid));
}
