// How often each arm is shown, and what it earned: in all, by segment, over time.
import { h, svg } from "../lib/dom.js";
import { compact, count, figure, fixed, lasting, moment, percent } from "../lib/format.js";
import { changed, redraw } from "../lib/keep.js";
import { estimate, interval, shareBar, spark } from "../lib/marks.js";
import { card, empty, failed, tile } from "../lib/parts.js";
import { table } from "../lib/table.js";

export const title = "Arms";

const WINDOWS = { "1h": "hour", "3h": "3 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };
const SORTS = {
  share: ["Most shown", (one) => -one.decisions],
  shown: ["Earned most when shown", (one) => -(one.shown.value ?? -Infinity)],
  everybody: ["Would earn most shown to all", (one) => -(one.everybody.value ?? -Infinity)],
  name: ["Name", null],
};
const AGAIN_MS = 10_000;
const DRAWN_APART = 6;
const LEAST_PARTS = 3;
const MATRIX_ARMS = 15;
const name = (arm) => (arm === null ? "all others" : arm);
const segmentName = (segment) => (segment === "" ? "in no segment" : segment);

export async function show(root, api) {
  const state = { window: "24h", segment: null, sort: "share", search: "" };
  let data = null, ended = false, timer;
  const draw = () => redraw(root, () => page(data, state, chosen));
  const news = changed((fresh) => { data = fresh; draw(); });

  async function look() {
    const wanted = state.window;
    const fresh = await api.get(`/v1/console/arms?window=${wanted}`);
    if (!ended && wanted === state.window) news(fresh);
  }

  async function chosen(what, value) {
    state[what] = value;
    if (what === "window") await look().catch(refused);
    else draw();
  }

  function refused(error) {
    if (error.problem) redraw(root, () => [h("h1", {}, title), failed(error)]);
  }

  async function again() {
    await look().catch(refused);
    if (!ended) timer = setTimeout(again, AGAIN_MS);
  }

  await look();
  if (data.decisions > 0 && data.parts.length - begun(data) < LEAST_PARTS) await chosen("window", "1h");
  timer = setTimeout(again, AGAIN_MS);
  return () => { ended = true; clearTimeout(timer); };
}

function page(data, state, chosen) {
  const head = h("div", { class: "page-head" }, h("h1", {}, title),
    h("span", { class: "row" }, select("window", "Of the last", Object.entries(WINDOWS), state.window, chosen)));
  if (data.decisions === 0) {
    return [head, empty("No decision of this time is over yet",
      `An arm is here when the ${lasting(data.horizon_s * 1000)} are over in which rewards are waited for, and the log was written, which may take half a minute more.`,
      data.unseen > 0 && ` ${count(data.unseen)} arms are in the catalogue.`)];
  }
  return [head, tiles(data), overTime(data), armsCard(data, state, chosen), matrix(data)];
}

function select(id, label, options, value, chosen) {
  return h("span", { class: "row" }, h("label", { for: `arms-${id}` }, label),
    h("select", { id: `arms-${id}`, "data-keep": id, onchange: (event) => chosen(id, event.target.value) },
      options.map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
}

function tiles(data) {
  const shown = data.arms.filter((one) => one.arm !== null).length;
  const half = data.shown.lower === null ? "" : `± ${figure((data.shown.upper - data.shown.lower) / 2, 2)}, 95 %`;
  return h("div", { class: "tiles" },
    tile("Decisions that are over", compact(data.decisions), { below: `${percent(data.rewarded / data.decisions)} had a reward of their own` }),
    tile("Reward a decision", figure(data.shown.value), { below: half }),
    tile("Arms shown", count(shown), { below: data.unseen ? `${count(data.unseen)} of the catalogue were not` : "every one of the catalogue among them" }));
}

/** From the first part of the window in which anything was shown. */
function begun(data) {
  const first = data.parts.findIndex((_, place) => data.arms.some((one) => one.course[place] > 0));
  return first < 0 ? data.parts.length : first;
}

/** Shares stacked, a bar for each hour or day. */
function overTime(data) {
  const parts = data.parts.slice(begun(data));
  if (parts.length < LEAST_PARTS) return null;
  const named = data.arms.filter((one) => one.arm !== null).slice(0, DRAWN_APART);
  const [width, height, gap] = [parts.length * 20, 120, 2];
  const bars = parts.flatMap((begin, n) => stacked(data, named, data.parts.length - parts.length + n)
    .map(({ share, below, kind, arm }) => svg("rect", { class: kind, x: n * 20 + gap / 2, width: 20 - gap, y: height - (below + share) * height,
      height: share * height }, svg("title", {}, `${arm}: ${percent(share)}, ${when(data, begin)}`))));
  const said = named.map((one) => `${one.arm} ${percent(one.share)}`).join(", ");
  return card("Share of the decisions over time", { hint: "by when their time for rewards was over", wide: true },
    h("div", { class: "stacked", style: { "max-width": `${parts.length * 72}px` } },
      svg("svg", { class: "stack", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `Shares over time; in all ${said}` }, bars),
      h("p", { class: "ends hint", "aria-hidden": "true" }, h("span", {}, when(data, parts[0])), parts.length > 3 && h("span", {}, when(data, parts.at(-1))))),
    h("div", { class: "legend" }, named.map((one, n) => h("span", { style: { "--swatch": `var(--series-${n + 1})` } }, one.arm)),
      data.arms.length > named.length && h("span", { style: { "--swatch": "var(--line-strong)" } }, "all others")));
}

/** What stands in one bar, from below; nothing where nothing was shown. */
function stacked(data, named, place) {
  if (!data.arms.some((one) => one.course[place] > 0)) return [];
  let below = 0;
  const pieces = named.map((one, n) => {
    const piece = { share: one.course[place], below, kind: `series-${n + 1}`, arm: one.arm };
    below += piece.share;
    return piece;
  });
  return [...pieces, { share: Math.max(1 - below, 0), below, kind: "series-rest", arm: "all others" }];
}

/** An hour or a day, in words. */
function when(data, ms) {
  const [day, clock] = moment(ms).split(", ");
  const step = data.parts[1] - data.parts[0];
  if (step > 3_600_000) return day;
  return step < 3_600_000 ? clock.slice(0, 5) : `${day.replace(/ \d{4}$/, "")}, ${clock.slice(0, 5)}`;
}

function armsCard(data, state, chosen) {
  const segments = [...new Set(data.segments.map((one) => one.segment))];
  const all = state.segment === null || !segments.includes(state.segment);
  const rows = all ? data.arms : data.segments.filter((one) => one.segment === state.segment);
  const found = rows.filter((one) => name(one.arm).toLowerCase().includes(state.search.toLowerCase()));
  const options = [["", "all traffic"], ...segments.map((one, n) => [String(n + 1), segmentName(one)])];
  const chose = (what, value) => chosen("segment", value === "" ? null : segments[Number(value) - 1]);
  const search = h("input", { id: "arms-search", type: "search", placeholder: "Find an arm", "aria-label": "Find an arm", "data-keep": "search",
    value: state.search, oninput: (event) => { const at = event.target.selectionStart; chosen("search", event.target.value); replaced(at); } });
  return h("section", { class: "card wide" },
    h("header", {}, h("h2", {}, "Arms"), h("span", { class: "row" },
      search, segments.length > 0 && select("segment", "Of", options, all ? "" : String(segments.indexOf(state.segment) + 1), chose),
      select("sort", "Sort by", Object.entries(SORTS).map(([key, [text]]) => [key, text]), state.sort, chosen))),
    armsTable(found.toSorted(order(state.sort)), all && data.parts.length - begun(data) >= LEAST_PARTS ? begun(data) : null),
    h("p", { class: "hint" }, "“Reward when shown” is of those to whom the arm was shown, who were chosen for it. “Shown to everybody” is what it would earn if it were shown whenever it may be: only these can be compared with each other. Intervals are of 95 %; there is none below 30 decisions or 5 rewards."));
}

/** The field was drawn again while somebody types: the caret goes where it was. */
function replaced(at) { document.getElementById("arms-search")?.setSelectionRange(at, at); }

function order(sort) {
  const [, by] = SORTS[sort];
  const last = (one) => (one.arm === null ? 1 : 0);
  return (a, b) => last(a) - last(b) || (by ? by(a) - by(b) : 0) || name(a.arm).localeCompare(name(b.arm));
}

/** `from`: where courses begin; null: they have none. */
function armsTable(rows, from) {
  const most = Math.max(...rows.map((one) => one.share), 1e-9);
  const ends = rows.flatMap((one) => [one.shown, one.everybody]).flatMap((one) => [one.lower ?? one.value, one.upper ?? one.value]).filter((one) => one !== null);
  const domain = [Math.min(0, ...ends), Math.max(1e-9, ...ends)];
  const mark = (one, label) => h("span", { class: "measured" }, h("span", {}, estimate(one)),
    interval({ ...one, domain, label: `${label} ${figure(one.value)}${one.lower === null ? "" : `, between ${figure(one.lower)} and ${figure(one.upper)}`}` }));
  return table([
    { name: "Arm", class: "arm", cell: (one) => h("span", { class: one.arm === null ? "hint" : "" }, name(one.arm),
      one.arm !== null && !one.offered && h("span", { class: "hint" }, " (not in the catalogue now)")) },
    { name: "Share", number: true, cell: (one) => percent(one.share) },
    { name: "", class: "bar-cell", cell: (one) => shareBar(one.share, most) },
    { name: "Decisions", number: true, cell: (one) => count(one.decisions) },
    { name: "Rewarded", number: true, cell: (one) => count(one.rewarded) },
    { name: h("span", { title: "Of those to whom it was shown, who were chosen for it" }, "Reward when shown"), cell: (one) => mark(one.shown, "Reward when shown") },
    { name: h("span", { title: "What it would earn if it were shown whenever it may be, by inverse propensities" }, "Shown to everybody"), cell: (one) => mark(one.everybody, "Reward shown to everybody") },
    ...(from !== null ? [{ name: "Share over time", class: "spark-cell", cell: (one) => spark({ values: one.course.slice(from), label: `Share of ${name(one.arm)}` }) }] : []),
  ], rows, { caption: "Arms with their share and their rewards", empty: "No arm of that name was shown." });
}

/** Arms against segments: how much of each segment they have. */
function matrix(data) {
  if (data.segments.length === 0) return null;
  const segments = [...new Set(data.segments.map((one) => one.segment))];
  const cells = new Map(data.segments.map((one) => [JSON.stringify([one.arm, one.segment]), one]));
  const arms = data.arms.filter((one) => one.arm !== null).slice(0, MATRIX_ARMS);
  const strongest = Math.max(...data.segments.map((one) => one.share), 1e-9);
  const cell = (one) => {
    if (!one) return "–";
    return h("span", { class: "heat", style: { "--heat": String(one.share / strongest) }, title: `${count(one.decisions)} decisions` },
      percent(one.share), h("span", { class: "spread" }, ` ${fixed(one.shown.value)}`));
  };
  return card("By segment", { hint: "share of the segment's decisions, and the reward when shown", wide: true }, table([
    { name: "Arm", class: "arm", cell: (one) => one.arm },
    ...segments.map((segment) => ({ name: segmentName(segment), number: true, cell: (one) => cell(cells.get(JSON.stringify([one.arm, segment]))) })),
  ], arms, { caption: "Share and reward of each arm by segment" }));
}
