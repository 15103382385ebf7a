// Evaluate: what another policy would have earned, as every night asks and as anybody may ask now.
import { h, put } from "../lib/dom.js";
import { count, figure, moment, percent, signed } from "../lib/format.js";
import { card, confirm, empty, failed, pill } from "../lib/parts.js";
import { table } from "../lib/table.js";
import { colour, draw } from "../lib/vega.js";

export const title = "Evaluate";

const EVERY_MS = 1000;
const FINAL = ["done", "failed", "cancelled"];
const PHASES = { asked: "is being started", reading: "reads the log", scoring: "scores decisions", writing: "writes its answer",
  done: "done", failed: "failed", cancelled: "cancelled" };
const LEVELS = { ok: ["ok", "good"], caution: ["caution", "warn"], stop: ["stop", "bad"] };
const MOST_NAMES = 8;

export async function show(root, api, live, rest, signedIn) {
  return rest[0] ? one(root, api, rest[0]) : overview(root, api, signedIn.roles.includes("admin"));
}

// ---- asking, and what there is ----

async function overview(root, api, may) {
  const asked = h("div"), runs = h("div"), nights = h("div");
  let timer = 0, ended = false, end = () => {}, drawn = "";

  async function look() {
    const told = await api.get("/v1/console/evaluations");
    if (ended) return;
    if (!asked.hasChildNodes()) put(asked, form(api, told, may, look));
    put(runs, runsCard(api, told, may, look));
    const now = JSON.stringify(told.nights.map((night) => [night.name, night.fingerprint]));
    if (now !== drawn) {
      drawn = now;
      end();
      end = await history(nights, told);
    }
    asked.querySelector("button.primary")?.toggleAttribute("disabled", told.running !== "" || told.why_not !== "" || !may);
    clearTimeout(timer);
    const waits = told.running !== "" || told.runs.some((run) => !FINAL.includes(run.step.phase));
    timer = setTimeout(() => look().catch(() => { timer = setTimeout(() => look().catch(() => {}), 3 * EVERY_MS); }), waits ? EVERY_MS : 10 * EVERY_MS);
  }

  const first = await api.get("/v1/console/evaluations");
  put(root, h("h1", {}, title),
    h("p", { class: "hint intro" }, "What would another policy have earned? The log knows with which probability each arm was shown, so the question has an honest answer, with an interval."),
    asked, runs, nights);
  if (first) await look();
  return () => { ended = true; clearTimeout(timer); end(); };
}

function form(api, told, may, look) {
  const chosen = h("fieldset", { class: "choices" }, h("legend", {}, "Candidates"),
    told.offer.candidates.map((name) => h("label", { class: "choice" },
      h("input", { type: "checkbox", name: "candidate", value: name, checked: name === "uniform" }), h("code", {}, name))));
  const own = h("input", { id: "own", placeholder: "epsilon:0.05  greedy@17  as-of:2026-03-03T12:00", maxlength: 256, autocomplete: "off", spellcheck: "false" });
  const against = h("input", { id: "against", value: told.offer.against, maxlength: 80, autocomplete: "off", spellcheck: "false" });
  const days = h("input", { id: "days", type: "number", min: 1, max: 3650, value: told.offer.days });
  const error = h("p", { class: "error", role: "alert" });
  const field = (label, input, hint) => h("div", { class: "field" }, h("label", { for: input.id }, label), input, h("span", { class: "hint" }, hint));
  const why = told.why_not ? `No evaluation can be made from here: ${told.why_not}.` : (may ? "" : "To ask for an evaluation a key with the role admin is needed.");
  return card("Ask now", { hint: told.at ? `every night at ${told.at} UTC the application’s own question is asked` : "" },
    why && h("p", { class: "notice" }, why, told.why_not && told.nights.length > 0 && " What the nightly job left is below."),
    told.why_not === "" && h("form", { class: "ask", onsubmit: async (event) => {
      event.preventDefault();
      put(error);
      const names = [...chosen.querySelectorAll("input:checked")].map((box) => box.value).concat(own.value.split(/\s+/).filter(Boolean));
      const question = { candidates: [...new Set(names)], against: against.value.trim() || "logged", days: Number(days.value) };
      if (names.length === 0) { put(error, "Choose a candidate, or name one."); return; }
      if (question.candidates.length > MOST_NAMES) { put(error, `At most ${MOST_NAMES} candidates at a time.`); return; }
      try {
        await api.act("POST", "/v1/console/evaluations", question);
        await look();
      } catch (refused) { put(error, refused.message); }
    } }, chosen, h("div", { class: "ask-fields" },
      field("Others", own, "with spaces between them; none that names a file"),
      field("Against", against, "logged, or one of the candidates"),
      field("Days", days, "the last so many times 24 hours")),
    error, h("div", {}, h("button", { class: "primary", disabled: told.why_not !== "" || !may }, "Evaluate"))));
}

function runsCard(api, told, may, look) {
  if (told.runs.length === 0) return null;
  return card("Asked for", { hint: "the last twenty are kept" }, table([
    { name: "Question", cell: (run) => (run.answered
      ? h("a", { href: `#/evaluate/${encodeURIComponent(run.name)}` }, question(run)) : question(run)) },
    { name: "Days", number: true, cell: (run) => run.asked?.days ?? "–" },
    { name: "When", cell: (run) => moment(run.step.at_ms) },
    { name: "How far", class: "progress-cell", cell: (run) => progress(run) },
    { name: "", cell: (run) => (may && run.name === told.running ? h("button", { onclick: () => cancel(api, run, look) }, "Cancel") : "") },
  ], told.runs, { caption: "Evaluations that were asked for" }));
}

const question = (run) => (run.asked ? `${run.asked.candidates.join(", ")} against ${run.asked.against}` : run.name);

function progress(run) {
  const { phase, rows, of, told } = run.step;
  if (phase === "failed") return [pill("failed", "bad"), h("span", { class: "break" }, ` ${told}`)];
  if (FINAL.includes(phase)) return pill(PHASES[phase], phase === "done" ? "good" : "");
  const bar = of > 0 && h("progress", { max: of, value: Math.min(rows, of), "aria-label": `Rows scored of ${question(run)}` });
  return [h("span", {}, PHASES[phase] ?? phase, of > 0 && `: ${count(rows)} of ${count(of)}`), bar];
}

async function cancel(api, run, look) {
  if (!(await confirm("Cancel this evaluation?", h("p", {}, `${question(run)}. Nothing of it is kept.`), { yes: "Cancel it", no: "Let it run", danger: true }))) return;
  await api.act("DELETE", `/v1/console/evaluations/${encodeURIComponent(run.name)}`).catch(() => {});
  await look();
}

async function history(root, told) {
  if (told.nights.length === 0) {
    put(root, empty("No night has been evaluated yet",
      "Name a time as ", h("code", {}, "at"), " of ", h("code", {}, "[evaluation]"), " in app.toml, or run ",
      h("code", {}, "sidearm evaluate --app FOLDER"), ": what it finds is shown here."));
    return () => {};
  }
  const points = told.nights.flatMap((night) => night.candidates.filter((one) => one.difference).map((one) => ({
    day: night.name, candidate: one.candidate, value: one.difference.value, low: one.difference.low, high: one.difference.high })));
  const chart = h("div", { class: "chart" });
  put(root, card("Every night", { hint: "difference to what was logged, with its interval" }, points.length > 0 && chart, nightsTable(told.nights)));
  return points.length > 0 ? draw(chart, () => byDay(points), `Differences by night: ${points.length} intervals; the table below has the numbers.`) : () => {};
}

function byDay(points) {
  const x = { field: "day", type: "ordinal", title: null, axis: { labelAngle: 0, labelOverlap: true } };
  const shade = { field: "candidate", type: "nominal", title: null };
  const at = { field: "candidate" };
  return {
    width: "container", height: 190, autosize: { type: "fit", contains: "padding" }, data: { values: points },
    encoding: { x, xOffset: at, color: shade },
    layer: [
      { mark: { type: "rule", color: colour("line-strong"), strokeDash: [4, 4] }, encoding: { y: { datum: 0 }, x: null, xOffset: null, color: null } },
      { mark: { type: "rule", strokeWidth: 2 }, encoding: { y: { field: "low", type: "quantitative", title: "difference" }, y2: { field: "high" } } },
      { mark: { type: "point", filled: true, size: 50, opacity: 1 }, encoding: { y: { field: "value", type: "quantitative" } } },
    ],
  };
}

function nightsTable(nights) {
  const rows = nights.flatMap((night) => night.candidates.map((one, place) => ({ ...one, night: night.name, first: place === 0 })));
  return table([
    { name: "Night", cell: (row) => (row.first ? h("a", { href: `#/evaluate/${encodeURIComponent(row.night)}`, class: "nowrap" }, row.night) : h("span", { class: "unseen" }, row.night)) },
    { name: "Candidate", cell: (row) => h("code", {}, row.candidate) },
    { name: "Would have earned", number: true, cell: (row) => interval(row.value) },
    { name: "Less what was logged", number: true, cell: (row) => difference(row.difference) },
    { name: "Verdict", cell: (row) => h("span", { class: "verdict" }, said(row.verdict)) },
  ], rows.slice(0, 120), { caption: "Evaluations by night" });
}

const COLOURS = { green: "good", amber: "warn", red: "bad" };

/** A verdict begins with its colour. */
function said(verdict) {
  const [word, rest] = verdict.split(/: (.*)/s);
  return COLOURS[word] && rest ? [pill(word, COLOURS[word]), ` ${rest}`] : verdict;
}

const interval = (one) => (one ? `${figure(one.value)} [${figure(one.low)}, ${figure(one.high)}]` : "withheld");

function difference(one) {
  if (!one) return "withheld";
  const kind = one.low > 0 ? "good-text" : one.high < 0 ? "bad-text" : "";
  return h("span", { class: kind }, `${signed(one.value)} [${signed(one.low)}, ${signed(one.high)}]`);
}

// ---- one answer ----

async function one(root, api, name) {
  const told = await api.get(`/v1/console/evaluations/${encodeURIComponent(name)}`).catch((error) => error);
  const report = h("a", { href: api.address(`/v1/console/evaluations/${encodeURIComponent(name)}/report`), target: "_blank", rel: "noopener" }, "Whole report");
  const head = h("div", { class: "page-head" }, h("div", {}, h("a", { href: "#/evaluate" }, "← Evaluate"), h("h1", {}, `Evaluation ${name}`)),
    !(told instanceof Error) && report);
  if (told instanceof Error) {
    put(root, head, told.status === 404 ? empty("There is no such evaluation", told.message) : failed(told));
    return undefined;
  }
  const chart = h("div", { class: "chart" }), points = forest(told);
  put(root, head, log(told), told.candidates.map((each) => verdict(each, told)), (told.versus ?? []).map(versus),
    points.length > 0 && card("Estimates", { hint: `with ${percent(told.level, 0)} intervals; the line is what was logged` }, chart),
    told.candidates.map((each) => numbers(each, told)));
  return points.length > 0 ? draw(chart, (width) => forestSpec(points, told, width), `Forest plot of ${points.length} estimates; the tables below have the numbers.`) : undefined;
}

function log(told) {
  const doubts = told.checks.filter((check) => check.level !== "ok");
  return card("The log", { hint: `${count(told.log.counted)} of ${count(told.log.rows)} rows count` },
    h("p", {}, `Decided ${told.log.first_decided_at ?? "never"} to ${told.log.last_decided_at ?? "never"}, in ${count(told.log.files)} files. Fingerprint of log, window, candidates and options: `,
      h("code", {}, (told.fingerprint ?? "").slice(0, 16)), "."),
    doubts.length > 0 ? h("ul", { class: "checks" }, doubts.map(doubt)) : h("p", { class: "hint" }, "Nothing speaks against it."));
}

function doubt(check) {
  const [word, kind] = LEVELS[check.level] ?? [check.level, ""];
  return h("li", {}, pill(word, kind), h("span", {}, check.text));
}

function verdict(each, told) {
  const doubts = each.checks.filter((check) => check.level !== "ok" && !told.checks.some((one) => one.text === check.text));
  return card(each.candidate, { hint: `${count(each.rows)} rows, worth ${count(each.effective_rows)}; largest weight ${figure(each.max_weight)}` },
    h("p", { class: "lead" }, said(each.verdict)),
    doubts.length > 0 && h("ul", { class: "checks" }, doubts.map(doubt)));
}

function versus(each) {
  return card(`${each.candidate} against ${each.against}`, { hint: `${count(each.rows)} rows` }, h("p", { class: "lead" }, said(each.verdict)));
}

function forest(told) {
  return told.candidates.flatMap((each) => each.estimates.filter((estimate) => estimate.value).map((estimate) => ({
    candidate: each.candidate, estimator: estimate.estimator, ...estimate.value,
    headline: estimate.estimator === each.headline, logged: each.on_policy.value?.value ?? null })));
}

function forestSpec(points, told, width) {
  const y = { field: "estimator", type: "nominal", title: null, sort: null };
  const x = (field) => ({ field, type: "quantitative", title: "reward per decision", scale: { zero: false } });
  const shade = { condition: { test: "datum.headline", value: colour("accent") }, value: colour("faint") };
  return {
    data: { values: points },
    facet: { row: { field: "candidate", type: "nominal", title: null, sort: told.candidates.map((each) => each.candidate),
      header: { labelAngle: 0, labelAlign: "left", labelAnchor: "start", labelOrient: "top", labelFontSize: 13, labelColor: colour("ink") } } },
    spec: {
      width: Math.max(200, Math.min(width, 1100) - 130), height: { step: 21 },
      layer: [
        { mark: { type: "rule", color: colour("series-2"), strokeDash: [4, 3] }, encoding: { x: { ...x("logged"), aggregate: "mean" } } },
        { mark: { type: "rule", strokeWidth: 2 }, encoding: { y, x: x("low"), x2: { field: "high" }, color: shade } },
        { mark: { type: "point", filled: true, size: 55, opacity: 1 }, encoding: { y, x: x("value"), color: shade } },
      ],
    },
  };
}

function numbers(each, told) {
  const logged = { ...each.on_policy, estimator: "logged" };
  return card(`Numbers of ${each.candidate}`, {}, table([
    { name: "Estimator", cell: (row) => [h("code", {}, row.estimator), row.estimator === each.headline && [" ", pill("read by the verdict", "accent")]] },
    { name: "Reward", number: true, cell: (row) => figure(row.value?.value ?? null, 4) },
    { name: `${percent(told.level, 0)} interval`, number: true, cell: (row) => (row.value ? `[${figure(row.value.low, 4)}, ${figure(row.value.high, 4)}]` : "–") },
    { name: "Less what was logged", number: true, cell: (row) => (row === logged ? "" : difference(row.difference)) },
    { name: "", cell: (row) => row.withheld ?? "" },
  ], [logged, ...each.estimates], { caption: `Estimates of ${each.candidate}` }));
}
