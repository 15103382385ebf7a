// Decisions: those that are like something, and one with everything that is known of it.
import { h, put } from "../lib/dom.js";
import { count, figure, fixed, lasting, moment, percent, signed } from "../lib/format.js";
import { card, empty, failed, pill } from "../lib/parts.js";
import { table } from "../lib/table.js";

export const title = "Decisions";

const FIELDS = [
  ["session_id", "Session", "exactly, such as s-42"],
  ["unit_id", "Unit", "user, household, …"],
  ["arm", "Arm", "shown in any slot"],
];
const SOURCES = [["", "any"], ["model", "model"], ["pre_policy", "rule"], ["fallback", "backstop"], ["import", "import"]];
const AGES = [["", "any time"], ["900", "last 15 minutes"], ["3600", "last hour"], ["86400", "last day"], ["604800", "last week"]];
const STATES = { pending: "accent", deferred: "warn", final: "", never_activated: "warn" };
const MOST_PARTS = 10;

export async function show(root, api, live, rest) {
  if (rest[0]) return one(root, api, rest[0]);
  return search(root, api);
}

// ---- the list ----

let lastAsked = {};

function search(root, api) {
  const results = h("div", { class: "results", "aria-live": "polite" });
  const box = (name, label, hint) => field(label, h("input", {
    name, id: `by-${name}`, placeholder: hint, maxlength: 256, autocomplete: "off", spellcheck: "false", value: lastAsked[name] ?? null }));
  const choice = (name, label, options) => field(label, h("select", { name, id: `by-${name}` },
    options.map(([value, word]) => h("option", { value, selected: (lastAsked[name] ?? "") === value }, word))));
  const id = h("input", { id: "by-id", placeholder: "decision id", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  let asking = null;

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const asked = Object.fromEntries(new FormData(form));
    lastAsked = asked;
    put(results, h("p", { class: "loading" }, "Looking …"));
    try {
      const about = query(asked), signal = asking.signal;
      const near = await api.get(`/v1/console/decisions?where=store&${about}`, signal);
      put(results, list(near));
      if (!near.ask_log) return;
      results.append(h("p", { class: "loading small" }, "Looking into the Parquet log …"));
      put(results, list(await api.get(`/v1/console/decisions?${about}`, signal)));
    } catch (error) {
      if (error.name !== "AbortError") put(results, failed(error));
    }
  }

  const form = h("form", { class: "filters", role: "search", "aria-label": "Decisions", onsubmit: (event) => { event.preventDefault(); ask(); } },
    FIELDS.map((one) => box(...one)), choice("source", "Answered by", SOURCES), choice("age", "Decided", AGES),
    choice("limit", "At most", [["50", "50"], ["200", "200"], ["500", "500"]]),
    h("div", { class: "filters-end" }, h("button", { class: "primary" }, "Search"),
      h("button", { type: "button", class: "quiet", onclick: () => { lastAsked = {}; for (const each of form.elements) if (each.name) each.value = each.name === "limit" ? "50" : ""; ask(); } }, "Clear")));
  const open = h("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    if (id.value.trim()) location.hash = `#/decisions/${encodeURIComponent(id.value.trim())}`;
  } }, h("label", { for: "by-id", class: "unseen" }, "Decision id"), id, h("button", {}, "Open"));
  put(root, h("div", { class: "page-head" }, h("h1", {}, title), open), h("section", { class: "card" }, form), results);
  ask();
  return () => asking?.abort();
}

function field(label, input) {
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

function query(asked) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(asked)) {
    if (name === "age") {
      if (value) given.set("since_ms", String(Date.now() - Number(value) * 1000));
    } else if (value.trim()) given.set(name, value.trim());
  }
  return given;
}

function list(found) {
  if (found.decisions.length === 0) {
    if (found.ask_log) return h("p", { class: "hint" }, "None in the store.");
    return empty("No decision is like that", looked(found));
  }
  return h("section", { class: "card" },
    table([
      { name: "Decided", cell: (row) => h("a", { href: `#/decisions/${encodeURIComponent(row.decision_id)}`, class: "nowrap" }, moment(row.decided_at_ms)) },
      { name: "Session", cell: (row) => clipped(row.session_id) },
      { name: "Unit", cell: (row) => clipped(row.unit_id) },
      { name: "Arm", cell: (row) => clipped(row.arm) },
      { name: "Probability", number: true, cell: (row) => percent(row.probability) },
      { name: "Answered by", cell: (row) => answered(row) },
      { name: "State", cell: (row) => pill(row.state.replace("_", " "), STATES[row.state] ?? "") },
      { name: "Reward", number: true, cell: (row) => (row.n_rewards ? figure(row.reward) : h("span", { class: "faint" }, figure(row.reward))) },
      { name: "Found in", cell: (row) => row.where },
    ], found.decisions, { caption: "Decisions, the newest first" }),
    h("p", { class: "hint under" }, looked(found)));
}

function looked(found) {
  const store = found.more_in_store
    ? `Looked at the newest ${count(found.looked_in_store)} decisions of the store`
    : `Looked at all ${count(found.looked_in_store)} decisions of the store that this can be`;
  const log = found.looked_in_log === null
    ? (found.log_why_not ? `; not at the Parquet log: ${found.log_why_not}` : "; the Parquet log was not needed")
    : `, and through ${count(found.looked_in_log)} rows of the Parquet log`;
  return `${store}${log}.`;
}

function clipped(text) { return h("span", { class: "clip", title: text }, text); }

function answered(row) {
  const words = { model: `${row.policy} v${row.model_version}`, pre_policy: "rule", fallback: "backstop", import: `import: ${row.policy}` };
  return clipped(words[row.source] ?? row.source);
}

// ---- one ----

async function one(root, api, id) {
  const found = await api.get(`/v1/console/decisions/${encodeURIComponent(id)}`).catch((error) => error);
  if (found instanceof Error) {
    put(root, head(id), found.status === 404 ? empty("There is no such decision", found.message) : failed(found));
    return undefined;
  }
  const told = found.decision;
  put(root, head(id),
    h("div", { class: "grid" }, summary(found), checks(found), context(told)),
    why(found), arms(found), rewards(found), models(told));
  return undefined;
}

function head(id) {
  return h("div", { class: "page-head" },
    h("div", {}, h("a", { href: "#/decisions" }, "← Decisions"), h("h1", {}, "Decision ", h("span", { class: "mono break" }, id))));
}

function facts(rows) {
  return h("dl", { class: "told" }, rows.filter((row) => row && row[1] !== null && row[1] !== undefined && row[1] !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function summary(found) {
  const told = found.decision;
  return card("What was decided", {},
    h("p", { class: "lead" }, h("strong", { class: "break" }, told.arm), " with probability ", h("strong", {}, percent(told.probability, 2))),
    facts([
      ["Decided", time(told.decided_at)], ["Session", h("span", { class: "break" }, told.session_id)],
      ["Unit", h("span", { class: "break" }, told.unit_id)], ["Client’s own id", told.client_decision_id],
      ["Answered by", told.source === "model" ? `${told.policy}, version ${told.model_version}` : told.source.replace("_", " ")],
      ["Exploration", Object.entries(told.exploration).map(([name, value]) => `${name.replace("_", " ")} ${value}`).join(", ")],
      ["Segment", told.segment], ["Reward expected", told.expected === null ? null : figure(told.expected)],
      ["Logged with probability", told.inclusion_probability < 1 ? percent(told.inclusion_probability) : null],
      ["Found in", found.where === "log" ? "the Parquet log" : "the store"],
    ]),
    told.slots.length > 0 && table([
      { name: "Slot", cell: (row) => row.slot }, { name: "Arm", cell: (row) => clipped(row.arm) },
      { name: "Probability", number: true, cell: (row) => percent(row.probability) },
      { name: "Reward", number: true, cell: (row) => figure(row.reward) },
    ], told.slots.map((slot, place) => ({ ...slot, slot: place + 2 })), { caption: "Further slots" }));
}

function checks(found) {
  const words = { true: ["same", "good"], false: ["other", "bad"], null: ["not done", ""] };
  return card("Is it what the log says?", { hint: "done again just now" },
    h("ul", { class: "checks" }, found.replay.map((check) => h("li", {},
      pill(`${check.what}: ${words[check.ok][0]}`, words[check.ok][1]), h("span", {}, check.told)))));
}

function context(told) {
  const names = [...new Set([...Object.keys(told.context), ...Object.keys(told.outcomes)])].sort();
  return card("Context", { hint: "as it was scored" },
    table([
      { name: "Feature", cell: (name) => h("span", { class: "mono break" }, name) },
      { name: "Value", cell: (name) => (name in told.context ? h("span", { class: "break" }, String(told.context[name])) : "–") },
      { name: "How it was had", cell: (name) => (told.outcomes[name] ? pill(told.outcomes[name], state(told.outcomes[name])) : "–") },
    ], names, { caption: "Context features", empty: "The request gave none." }));
}

function state(outcome) {
  if (outcome === "ok" || outcome === "given" || outcome === "cached") return "good";
  return outcome === "fallback" || outcome === "timeout" || outcome === "failed" || outcome === "error" ? "warn" : "";
}

function why(found) {
  const told = found.explanation;
  if (told === null) return card("Why", { wide: true }, h("p", { class: "empty" }, found.explanation_why_not || "There is nothing to explain."));
  const shown = told.arms.filter((arm) => arm.parts.length > 0);
  return card("Why", { wide: true, hint: told.exact === false ? "scored again by other weights: how it would be scored now" : "" },
    h("p", { class: "lead" }, told.told),
    shown.length > 0 && h("div", { class: "grid" }, shown.map((arm) => waterfall(arm, shown))));
}

/** How a score came to be: each part begins where the one before ended. */
function waterfall(arm, all) {
  const parts = arm.parts.slice(0, MOST_PARTS).map((part) => ({ name: part.features.join(" × ") || "every arm", value: part.contribution }));
  const left = arm.parts.slice(MOST_PARTS).reduce((sum, part) => sum + part.contribution, arm.others);
  const others = arm.n_others + Math.max(0, arm.parts.length - MOST_PARTS);
  if (others > 0) parts.push({ name: `${count(others)} more`, value: left });
  const reach = all.map(span), low = Math.min(0, ...reach.map(([from]) => from)), high = Math.max(0, ...reach.map(([, to]) => to));
  const at = (value) => ((value - low) / (high - low || 1)) * 100;
  let sum = 0;
  const rows = parts.map((part) => {
    const from = sum;
    sum += part.value;
    return bar(part.name, from, sum, signed(part.value), part.value < 0 ? "down" : "up", at);
  });
  const role = { chosen: "chosen", runner_up: "runner-up", slot: "further slot" }[arm.role];
  return h("figure", { class: "waterfall" },
    h("figcaption", {}, h("strong", { class: "break" }, arm.arm), " ", pill(role, arm.role === "chosen" ? "accent" : ""),
      h("span", { class: "hint" }, ` score ${figure(arm.score, 4)}, probability ${percent(arm.probability)}`)),
    h("div", { role: "list" }, rows, bar("score", 0, arm.score, fixed(arm.score), "whole", at)));
}

function span(arm) {
  let sum = 0, low = Math.min(0, arm.score), high = Math.max(0, arm.score);
  for (const part of arm.parts.slice(0, MOST_PARTS)) {
    sum += part.contribution;
    low = Math.min(low, sum);
    high = Math.max(high, sum);
  }
  return [low, high];
}

function bar(name, from, to, told, kind, at) {
  const left = at(Math.min(from, to)), width = Math.max(at(Math.max(from, to)) - left, 0.4);
  return h("div", { class: "part", role: "listitem" },
    h("span", { class: "part-name", title: name }, name),
    h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: `fill ${kind}`, style: { left: `${left}%`, width: `${width}%` } })),
    h("span", { class: "part-value number" }, told));
}

function arms(found) {
  const told = found.decision;
  const most = Math.max(...told.arms.map((arm) => arm.probability ?? 0), 0);
  const rows = [...told.arms].sort((a, b) => (b.probability ?? 0) - (a.probability ?? 0) || (b.score ?? 0) - (a.score ?? 0));
  const excluded = Object.entries(told.excluded);
  return card("Arms", { wide: true, hint: `${count(told.arms.length)} were eligible` },
    table([
      { name: "Arm", cell: (arm) => [h("span", { class: "break" }, arm.arm), arm.arm === told.arm && [" ", pill("shown", "accent")]] },
      { name: "Probability", number: true, cell: (arm) => percent(arm.probability, 2) },
      { name: "", class: "bar-cell", cell: (arm) => h("span", { class: "track", "aria-hidden": "true" },
        h("span", { class: "fill whole", style: { left: "0", width: `${most ? ((arm.probability ?? 0) / most) * 100 : 0}%` } })) },
      { name: "Score", number: true, cell: (arm) => fixed(arm.score, 4) },
      { name: "Features of this request", cell: (arm) => features(arm) },
    ], rows.slice(0, 200), { caption: "Eligible arms with their probabilities" }),
    rows.length > 200 && h("p", { class: "hint under" }, `${count(rows.length - 200)} less probable ones are not shown.`),
    excluded.length > 0 && [h("h3", { class: "under" }, "Not eligible"),
      table([{ name: "Arm", cell: ([arm]) => h("span", { class: "break" }, arm) }, { name: "Reason", cell: ([, reason]) => reason }],
        excluded.slice(0, 200), { caption: "Excluded arms" })]);
}

function features(arm) {
  const given = Object.entries(arm.features);
  if (given.length === 0) return h("span", { class: "faint" }, "–");
  return h("span", { class: "mono break" }, given.map(([name, value]) => `${name}=${value}${arm.outcomes[name] ? ` (${arm.outcomes[name]})` : ""}`).join("  "));
}

function rewards(found) {
  const told = found.decision;
  const all = [...told.rewards.map((one) => ({ ...one, late: false })), ...told.late_rewards.map((one) => ({ ...one, late: true }))];
  const until = Date.parse(told.reward_until) - Date.now();
  const waits = told.state === "pending" || told.state === "deferred";
  return card("Reward", { wide: true },
    h("p", { class: "lead" }, h("strong", {}, figure(found.reward)),
      found.n_rewards === 0 ? " by default: none came" : ` of ${count(found.n_rewards)} ${found.n_rewards === 1 ? "reward" : "rewards"}`,
      " ", pill(told.state.replace("_", " "), STATES[told.state] ?? ""),
      h("span", { class: "hint" }, waits ? ` takes rewards ${until > 0 ? `for another ${lasting(until)}` : "until it is closed"}` : [" closed ", time(told.reward_until)])),
    all.length > 0 && table([
      { name: "Reward", cell: (row) => h("span", { class: "mono break" }, row.reward_id) },
      { name: "Value", number: true, cell: (row) => figure(row.value) },
      { name: "Event", cell: (row) => row.event || "–" }, { name: "Arm", cell: (row) => clipped(row.arm || "–") },
      { name: "Came", cell: (row) => time(row.at) }, { name: "", cell: (row) => (row.late ? pill("too late", "warn") : "") },
    ], all, { caption: "Rewards" }),
    found.where === "log" && h("p", { class: "hint" }, "The log has what they came to, not each of them."));
}

function models(told) {
  if (told.models.length < 2) return null;
  return card("What each model said", { wide: true }, table([
    { name: "Model", cell: (row) => row.model }, { name: "Version", number: true, cell: (row) => (row.version === null ? "did not answer" : row.version) },
    { name: "Chance to be official", number: true, cell: (row) => percent(row.chance) },
    { name: "Prefers", cell: (row) => clipped(row.preferred ?? "–") },
  ], told.models, { caption: "Models" }));
}

function time(text) { return h("time", { datetime: text }, moment(Date.parse(text))); }
