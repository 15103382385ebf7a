// Whether all is well, at one look.
import { h, put } from "../lib/dom.js";
import { compact, count, figure, fixed, lasting, percent, signed, time } from "../lib/format.js";
import { chart, gain, spark } from "../lib/chart.js";
import { card, pill, tile } from "../lib/parts.js";

export const title = "Overview";

const SOURCES = { model: "a model", pre_policy: "rules", fallback: "the backstop", import: "imports" };

export async function show(root, api, live) {
  const head = h("div", { class: "page-head" }), tiles = h("div", { class: "tiles" });
  const reward = h("section", { class: "card earned", "aria-label": "The policy against its own control share" }), answers = h("div", {});
  const choice = switcher(() => last && draw(last));
  const charts = {
    decisions: chart([{ name: "a second", colour: "--series-1", fill: true }, { name: "by the backstop", colour: "--series-2" }],
      { said: "Decisions a second over time" }),
    times: chart([{ name: "p50", colour: "--series-3" }, { name: "p99", colour: "--series-4" }],
      { said: "Time of an answer in milliseconds over time" }),
    earned: chart([{ name: "policy", colour: "--series-1" }, { name: "drawing evenly", colour: "--series-2", dash: [5, 4] }],
      { said: "Reward a decision over time, of the policy and of drawing evenly" }),
  };
  let last = null;

  function draw(data) {
    last = data;
    put(head, h("h1", {}, title), state(data), choice.root);
    put(tiles, tilesOf(data));
    put(reward, ...rewardOf(data));
    put(answers, ...sourcesOf(data));
    const trend = data[choice.value()];
    const times = trend.decisions.map((_, place) => trend.from_ms + place * trend.step_ms);
    const seconds = trend.decisions.map((_, place) => lengthOf(place, trend, data.at_ms));
    charts.decisions.draw(times, [rate(trend.decisions, seconds), rate(trend.backstop, seconds)]);
    charts.times.draw(times, [trend.p50_ms, trend.p99_ms]);
    charts.earned.draw(times, [trend.reward, trend.control]);
  }

  const first = await api.get("/v1/console/overview");
  put(root, head, tiles, h("div", { class: "grid overview-grid" }, reward,
    card("Reward a decision", { hint: "when its horizon ended" }, charts.earned.root),
    card("Decisions a second", {}, charts.decisions.root, answers),
    card("Time of an answer", { hint: `milliseconds; a decision has ${first.deadline_ms}` }, charts.times.root)));
  draw(first);
  const refused = (problem) => put(head, h("h1", {}, title), pill(problem.title ?? "The store does not answer", "bad"), choice.root);
  const stop = live("overview", draw, refused);
  return () => { stop(); Object.values(charts).forEach((one) => one.end()); };
}

/** Seconds of a slot; of the last one, what has passed of it. */
function lengthOf(place, trend, now_ms) {
  const begun = trend.from_ms + place * trend.step_ms;
  return Math.max(Math.min(trend.step_ms, now_ms - begun), 1000) / 1000;
}

const rate = (counts, seconds) => counts.map((one, place) => one / seconds[place]);

function switcher(changed) {
  const names = { hour: "Last hour", day: "Last day" };
  let chosen = "hour";
  const buttons = Object.entries(names).map(([key, name]) => h("button", { type: "button", "aria-pressed": key === chosen,
    onclick: () => {
      chosen = key;
      buttons.forEach((one) => one.setAttribute("aria-pressed", one.textContent === name));
      changed();
    } }, name));
  return { root: h("div", { class: "switch", role: "group", "aria-label": "Time shown" }, buttons), value: () => chosen };
}

function wrongWith(data) {
  const wrong = [];
  if (!balances(data)) wrong.push("the books do not balance");
  if (data.learner.state === "silent") wrong.push("the learner is silent");
  if (data.learner.state === "stopped") wrong.push("the learner has stopped");
  if (data.learner.error) wrong.push(data.learner.error);
  if (data.backstop_share > 0.01) wrong.push("the backstop answers");
  return wrong;
}

function state(data) {
  const wrong = wrongWith(data);
  if (wrong.length > 0) return h("p", { class: "state" }, pill("Look here", "bad"), " ", wrong.join(" · "));
  if (data.learner.state === "none") return h("p", { class: "state" }, pill("No learner has run yet", "warn"));
  if (data.decisions === 0) return h("p", { class: "state" }, pill("Nobody has asked yet", "accent"), " POST /v1/recommendations, and it begins");
  return h("p", { class: "state" }, pill("All is well", "good"), h("span", { class: "hint" }, ` as of ${time(data.at_ms)}`));
}

const balances = (data) => data.books.decisions === 0 && data.books.rewards === 0;

function tilesOf(data) {
  const { learner } = data;
  const slow = data.slow || data.p99_ms > data.deadline_ms;
  return [
    tile("Decisions", figure(data.per_s), { unit: "a second", below: `${compact(data.decisions)} ever, by ${services(data)}`,
      extra: spark(data.hour.decisions, "Decisions of each minute of the last hour") }),
    tile("Half are answered within", figure(data.p50_ms), { unit: "ms", below: "p50 of the last hour",
      extra: spark(data.hour.p50_ms, "p50 of each minute of the last hour", "var(--series-3)") }),
    tile("99 of 100 within", data.slow ? "> 1" : figure(data.p99_ms), { unit: data.slow ? "s" : "ms", below: `p99; deadline ${count(data.deadline_ms)} ms`,
      state: slow ? "warn" : "", extra: spark(data.hour.p99_ms, "p99 of each minute of the last hour", "var(--series-4)") }),
    tile("The backstop answered", percent(data.backstop_share), { below: "of the last hour's decisions",
      state: data.backstop_share > 0.01 ? "bad" : "",
      extra: spark(data.hour.backstop, "Decisions by the backstop of each minute of the last hour", "var(--series-2)") }),
    tile("Weights", learner.weights_age_ms === null ? "none" : lasting(learner.weights_age_ms), { unit: learner.weights_age_ms === null ? "" : "old",
      below: learner.version > 0 ? `version ${count(learner.version)}, ${compact(learner.examples)} examples` : "not published yet",
      state: learner.state === "silent" ? "bad" : "" }),
    tile("Books", balances(data) ? "balance" : "do not balance", { state: balances(data) ? "good" : "bad",
      below: balances(data) ? `${count(data.pending)} decisions wait for rewards`
        : `decisions ${signed(data.books.decisions, 0)}, rewards ${signed(data.books.rewards, 0)}` }),
  ];
}

const services = (data) => (data.services === 1 ? "1 service" : `${count(data.services)} services`);

function sourcesOf(data) {
  const all = Object.values(data.by_source).reduce((sum, one) => sum + one, 0);
  if (all === 0) return [h("p", { class: "empty" }, "No decision in the last hour.")];
  const said = Object.entries(data.by_source).filter(([, one]) => one > 0).sort((a, b) => b[1] - a[1])
    .map(([source, one]) => `${percent(one / all)} by ${SOURCES[source] ?? source}`);
  return [h("p", { class: "hint" }, `Last hour: ${count(all)} decisions, ${said.join(", ")}.`)];
}

function rewardOf(data) {
  const today = data.reward ?? data.reward_before;
  const head = (day) => h("header", {}, h("h2", {}, "The policy against its own control share"), h("p", { class: "hint" }, day));
  if (today === null) {
    return [head(""), h("p", { class: "empty" },
      "Nothing yet. Once decisions are older than their horizon and in the log, this says what the policy earns more than drawing arms evenly.")];
  }
  const day = data.reward === null ? "yesterday, UTC" : "today, UTC";
  return [head(day),
    h("dl", { class: "figures" }, [["policy", fixed(today.policy, 4)], ["drawing evenly", fixed(today.control, 4)],
      ["difference", signed(today.difference, 4)]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    today.lower === null ? null : gain(today.lower, today.difference, today.upper,
      `The difference lies between ${signed(today.lower, 4)} and ${signed(today.upper, 4)}`, (value) => figure(value, 2)),
    h("p", { class: "verdict" }, pill(...verdict(today)), " ",
      today.lower === null ? "" : `${signed(today.lower, 4)} to ${signed(today.upper, 4)} a decision`),
    h("p", { class: "hint" }, `${count(today.decisions)} decisions. The interval holds at every look of the day, with ${percent(1 - today.error, 0)} confidence.`,
      data.reward !== null && data.reward_before !== null
        ? ` Yesterday: ${signed(data.reward_before.difference, 4)} (${signed(data.reward_before.lower, 4)} to ${signed(data.reward_before.upper, 4)}).` : "")];
}

function verdict(value) {
  if (value.lower > 0) return ["better beyond doubt", "good"];
  if (value.upper < 0) return ["worse than chance", "bad"];
  return ["cannot be told yet", ""];
}
