// The rendezvous: who scores, who answers, what each earns; and what may be changed.
import { ask } from "../lib/ask.js";
import { h } from "../lib/dom.js";
import { compact, count, figure, fixed, moment, percent, signed } from "../lib/format.js";
import { changed, redraw } from "../lib/keep.js";
import { between, estimate, interval, shareBar, spark } from "../lib/marks.js";
import { card, empty, failed, pill } from "../lib/parts.js";
import { table } from "../lib/table.js";

export const title = "Models";

const ROLES = {
  champion: "answers what no challenger does",
  challenger: "answers its share",
  shadow: "scores and is logged, never answers",
  canary: "a fixed version, to watch the world by",
  decoy: "keeps inputs, scores nothing",
};
const STATES = { champion: "accent", challenger: "good", shadow: "", canary: "warn", decoy: "" };
const VERDICTS = {
  better: ["good", "Better beyond doubt."],
  worse: ["bad", "Worse beyond doubt."],
  undecided: ["", "Neither is proven better yet: waiting costs nothing but time."],
  "too few": ["warn", "Better, but from too few decisions in effect to rely on."],
  contradicted: ["warn", "Better than the champion, and worse than drawing arms evenly: something is wrong."],
};
const IMPORTED = 1e12;

export async function show(root, api, live, rest, signedIn) {
  const may = signedIn.roles.includes("admin");
  const desk = { api, may, again, data: null };
  const draw = (data) => { desk.data = data; redraw(root, () => page(desk)); };
  const news = changed(draw);
  async function again() { news(await api.get("/v1/console/models?now=1")); }
  await again();
  return live("models", news, (problem) => redraw(root, () => [h("h1", {}, title), failed(new Error(problem.detail ?? problem.title))]));
}

function page(desk) {
  const { models } = desk.data.models;
  const by = (...roles) => models.filter((one) => roles.includes(one.role));
  const contests = new Map(desk.data.models.contests.map((one) => [one.challenger, one]));
  const domain = domainOf([...contests.values()]);
  const cards = (some) => some.map((one) => modelCard(desk, one, contests.get(one.name), domain));
  return [
    head(desk),
    rendezvous(desk),
    h("div", { class: "grid models" }, cards(by("champion")), cards(by("challenger")), cards(by("shadow")), cards(by("canary", "decoy")),
      backstop(desk.data.backstop)),
    models.length === 1 && empty("The champion is alone", "Deploy a second model as a shadow: it scores every decision and answers none, and after a while this page says what it would earn. As a challenger it answers a share of the decisions, and is certain sooner."),
    promotions(desk.data.models.promotions),
  ];
}

function head(desk) {
  const { revision, automatic } = desk.data.models;
  return h("div", { class: "page-head" }, h("h1", {}, title),
    h("span", { class: "row" },
      pill(automatic ? "Promotes by itself" : "Promotions by hand", automatic ? "accent" : ""),
      h("span", { class: "hint" }, revision ? `${count(revision)} changes so far` : "nothing was ever changed"),
      button(desk, "deploy", "Deploy …", () => deploy(desk), "primary")),
    !desk.may && h("p", { class: "hint reason", id: "why-not" }, "You can look and change nothing: your key has not the role admin."));
}

function button(desk, keep, text, does, kind = "") {
  return h("button", { type: "button", class: kind, "data-keep": keep, disabled: !desk.may, onclick: does,
    "aria-describedby": desk.may ? null : "why-not", title: desk.may ? null : "Needs a key with the role admin" }, text);
}

/** Who answers, as a bar. */
function rendezvous(desk) {
  const answering = desk.data.models.models.filter((one) => one.answers);
  const said = answering.map((one) => `${one.name} ${percent(one.answers)}`).join(", ");
  return card("Who answers", { hint: "while every model answers in time", wide: true },
    h("div", { class: "answers", role: "img", "aria-label": said },
      answering.map((one, place) => h("span", { class: "answers-part", style: { "flex-grow": String(one.answers), "--swatch": `var(--series-${(place % 6) + 1})` } },
        one.answers >= 0.08 && h("span", {}, `${one.name} ${percent(one.answers, 0)}`)))),
    h("div", { class: "legend" }, answering.map((one, place) =>
      h("span", { style: { "--swatch": `var(--series-${(place % 6) + 1})` } }, `${one.name} ${percent(one.answers)}`))));
}

function modelCard(desk, model, contest, domain) {
  const course = desk.data.courses[model.name];
  const scores = model.role !== "decoy";
  return h("section", { class: `card model model-${model.role}`, "aria-label": `${model.role} ${model.name}` },
    h("header", {}, h("h2", {}, model.name, " ", pill(model.role, STATES[model.role])), h("p", { class: "hint" }, ROLES[model.role])),
    h("dl", { class: "facts" },
      fact(model.role === "decoy" ? "Keeps" : "Answers", model.role === "decoy" ? `${percent(model.share)} of inputs` : model.answers === null ? "never" : percent(model.answers)),
      fact("Version", versionText(model)),
      scores && fact("Reward a decision", model.reward === null ? "–" : estimate(bounds(model))),
      scores && fact("AUC", fixed(model.auc)),
      scores && fact("Judged by", model.progressive.examples ? `${compact(model.progressive.examples)} decisions` : "none yet"),
      model.exploration && fact("Explores", explores(model.exploration)),
      model.container && fact("Container", model.container),
      model.role === "canary" && fact("Drift", drift(desk.data.drifts[model.name]))),
    scores && course && h("figure", {}, spark({ values: course.reward, errors: course.reward_error, label: `Reward of ${model.name} over time` }),
      h("figcaption", { class: "hint" }, `its reward, ${span(course.at_ms)}`)),
    contest ? contestView(contest, domain)
      : ["challenger", "shadow"].includes(model.role) && h("p", { class: "hint" }, "Nothing is known of it against the champion yet: decisions that both scored, and whose time for rewards is over, will say."),
    h("div", { class: "row acts" }, acts(desk, model, contest)));
}

function fact(name, value) { return h("div", {}, h("dt", {}, name), h("dd", {}, value)); }

function bounds(model) {
  const half = model.reward_error === null ? null : 1.96 * model.reward_error;
  return { value: model.reward, lower: half === null ? null : model.reward - half, upper: half === null ? null : model.reward + half };
}

function versionText(model) {
  if (model.version === 0) return model.live ? "live, none scored yet" : "none scored yet";
  const name = versionName(model.version);
  return model.live ? `${name}, live` : `${name}, fixed`;
}

const versionName = (version) => (version < 0 ? `its own ${-1 - version}` : version > IMPORTED ? `i${version - IMPORTED}` : String(version));

function explores(how) {
  const of = { epsilon_greedy: `ε-greedy ${figure(how.epsilon)}`, softmax: `softmax ${figure(how.temperature)}`, squarecb: `SquareCB γ ${figure(how.gamma)}` };
  return of[how.scheme] ?? how.scheme;
}

function drift(value) {
  if (value === undefined) return "too few decisions yet";
  return h("span", { class: value > 0.25 ? "bad-text" : value > 0.1 ? "warn-text" : "good-text" }, fixed(value));
}

function span(at) {
  const minutes = Math.round((at.at(-1) - at[0]) / 60000);
  return minutes < 2 ? "the last minute" : minutes < 120 ? `the last ${minutes} minutes` : "the last two hours";
}

/** How a challenger or a shadow stands against the champion. */
function contestView(contest, domain) {
  const [state, word] = VERDICTS[contest.verdict];
  return h("div", { class: "contest" },
    h("p", { class: "row" }, h("strong", {}, `against ${contest.champion}`), pill(contest.verdict, state)),
    interval({ value: contest.difference, lower: contest.lower, upper: contest.upper, domain, zero: 0, state,
      label: `earns ${between(contest.difference, contest.lower, contest.upper)} more a decision` }),
    h("p", { class: "ends hint", "aria-hidden": "true" }, h("span", {}, signed(domain[0])), h("span", {}, "0"), h("span", {}, signed(domain[1]))),
    h("p", {}, `earns ${signed(contest.difference)} more a decision, between ${signed(contest.lower)} and ${signed(contest.upper)}`),
    h("p", { class: "hint" }, `${word} From ${count(contest.decisions)} decisions, ${count(contest.effective)} in effect.`));
}

function domainOf(contests) {
  const widest = Math.max(1e-9, ...contests.flatMap((one) => [Math.abs(one.lower), Math.abs(one.upper)]));
  const step = 10 ** Math.floor(Math.log10(widest));
  const end = [1, 2, 5, 10].map((times) => times * step).find((one) => one >= widest);
  return [-end, end];
}

function backstop({ decisions, share }) {
  return h("section", { class: "card model", "aria-label": "backstop" },
    h("header", {}, h("h2", {}, "backstop ", pill("backstop", share > 0.01 ? "warn" : "")), h("p", { class: "hint" }, "draws evenly where nobody scored in time")),
    h("dl", { class: "facts" }, fact("Answered", share === null ? "nothing yet" : percent(share)), fact("Decisions", count(decisions))),
    h("div", { class: "backstop-bar" }, shareBar(share ?? 0)));
}

function promotions(some) {
  return card("Promotions", { hint: "by the rule; what was done by hand is not listed", wide: true }, table([
    { name: "When", cell: (one) => moment(Date.parse(one.at)) },
    { name: "What", cell: (one) => pill(one.kind, one.kind === "promoted" ? "good" : "warn") },
    { name: "Champion", cell: (one) => `${one.champion} for ${one.predecessor}` },
    { name: "Earned more by", number: true, cell: (one) => between(one.contest.difference, one.contest.lower, one.contest.upper) },
    { name: "Decisions", number: true, cell: (one) => count(one.contest.decisions) },
  ], some, { caption: "Promotions", empty: "No model has taken another's place by itself." }));
}

// ---- what may be done

function acts(desk, model, contest) {
  const act = (what, does, kind = "") => button(desk, `${what} ${model.name}`, what, does, kind);
  const { predecessor } = desk.data;
  if (model.role === "champion") {
    return [
      act("Version …", () => deploy(desk, model)),
      predecessor && act("Roll back …", () => rollBack(desk, model, predecessor), ""),
    ];
  }
  return [
    ["challenger", "shadow"].includes(model.role) && act("Promote …", () => promote(desk, model, contest)),
    ["challenger", "decoy"].includes(model.role) && act("Share …", () => share(desk, model, contest)),
    model.role === "shadow" && act("Let it answer …", () => deploy(desk, { ...model, role: "challenger", share: 0.1 })),
    act("Undeploy …", () => undeploy(desk, model), "quiet"),
  ];
}

/** The interval that argues for a change, or the want of one. */
function argument(contest, name) {
  if (!contest) return h("p", { class: "argue warn-text" }, `Nothing is known of ${name} against the champion: no decision says something of both yet.`);
  return h("div", { class: "argue" }, contestView(contest, domainOf([contest])),
    h("p", { class: "hint" }, `The interval holds at every look, but for a chance of ${percent(contest.error)} on either side.`));
}

function change(desk, dialogTitle, body, options, method, path, asked) {
  return ask(dialogTitle, body, { ...options, does: async () => {
    const done = await desk.api.act(method, `/v1/models/${path}`, typeof asked === "function" ? asked() : asked);
    await desk.again();
    return done;
  } });
}

function promote(desk, model, contest) {
  const weak = contest?.verdict !== "better";
  const champion = desk.data.models.models.find((one) => one.role === "champion").name;
  return change(desk, `Promote ${model.name}?`, [
    h("p", {}, `${model.name} becomes the champion at once, in every replica. ${champion} stays as a challenger without a share, so that this can be taken back.`),
    argument(contest, model.name),
    weak && h("p", { class: "warn-text" }, "The evidence does not say yet that this is better."),
  ], { yes: weak ? "Promote all the same" : "Promote", danger: weak }, "POST", `${encodeURIComponent(model.name)}/promote`);
}

function rollBack(desk, champion, predecessor) {
  const contest = desk.data.models.contests.find((one) => one.challenger === predecessor);
  return change(desk, `Roll back to ${predecessor}?`, [
    h("p", {}, `${predecessor} becomes the champion again, and ${champion.name} a challenger without a share.`),
    argument(contest, predecessor),
  ], { yes: "Roll back", danger: contest?.verdict !== "better" }, "POST", `${encodeURIComponent(predecessor)}/promote`);
}

function undeploy(desk, model) {
  return change(desk, `Undeploy ${model.name}?`, [
    h("p", {}, model.answers ? `It answers ${percent(model.answers)} of the decisions now; the champion takes them over.` : "It answers nothing now."),
    h("p", {}, "What is known of it in the contest is forgotten; its version stays kept."),
  ], { yes: "Undeploy", danger: true }, "DELETE", encodeURIComponent(model.name));
}

function share(desk, model, contest) {
  const field = percentField("share", model.share);
  return change(desk, `How much ${model.role === "decoy" ? "is kept by" : "is answered by"} ${model.name}?`, [
    h("p", {}, h("label", { for: "share" }, "Share, per cent"), field), model.role === "challenger" && argument(contest, model.name),
    model.role === "challenger" && h("p", { class: "hint" }, "More is certain sooner, and costs more while the challenger is worse."),
  ], { yes: "Change the share" }, "PATCH", encodeURIComponent(model.name), () => ({ share: field.valueAsNumber / 100 }));
}

function percentField(id, value) {
  return h("input", { id, type: "number", min: 0, max: 100, step: "any", required: true, value: String(Number((value * 100).toPrecision(6))) });
}

/** A new model, or another version in the place of one. */
function deploy(desk, model = null) {
  const name = h("input", { id: "name", required: true, value: model?.name ?? "", disabled: model !== null, autocomplete: "off", spellcheck: "false", placeholder: "bold" });
  const roles = model?.role === "champion" ? ["champion"] : ["shadow", "challenger", "canary", "decoy"];
  const role = h("select", { id: "role" }, roles.map((one) => h("option", { value: one, selected: one === model?.role }, `${one}: ${ROLES[one]}`)));
  const now = model === null || model.live ? "live" : versionName(model.version);
  const version = h("select", { id: "version" }, h("option", { value: "live" }, "live: what the learner publishes last"),
    desk.data.versions.map((one) => h("option", { value: one.name, selected: one.name === now }, versionOption(one))));
  const field = percentField("share", model?.share ?? 0.1);
  const line = h("p", {}, h("label", { for: "share" }, "Share, per cent"), field);
  const settle = () => { line.hidden = !["challenger", "decoy"].includes(role.value); field.disabled = line.hidden; };
  role.addEventListener("change", settle);
  settle();
  const champion = model?.role === "champion";
  const contest = model && desk.data.models.contests.find((one) => one.challenger === model.name);
  return ask(champion ? `Which version does ${model.name} serve?` : "Deploy a model", [
    champion ? h("p", {}, "Every sidecar serves it within a second. With a fixed version the learner goes on learning, and what it publishes waits; “live” lets it serve again.")
      : h("p", {}, "It scores within a second, everywhere; nothing is restarted."),
    h("p", {}, h("label", { for: "name" }, "Name"), name), !champion && h("p", {}, h("label", { for: "role" }, "Role"), role),
    h("p", {}, h("label", { for: "version" }, "Version"), version), line, contest && argument(contest, model.name),
  ], { yes: champion ? "Serve it" : "Deploy", danger: champion, does: async () => {
    const kept = model ? { priority: model.priority, wait_ms: model.wait_ms, exploration: model.exploration, container: model.container } : {};
    const asked = { ...kept, role: role.value, version: version.value, revision: desk.data.models.revision };
    if (!line.hidden) asked.share = field.valueAsNumber / 100;
    const done = await desk.api.act("PUT", `/v1/models/${encodeURIComponent(name.value.trim())}`, asked);
    await desk.again();
    return done;
  } });
}

function versionOption(one) {
  const gate = one.passed === null ? "" : one.passed ? ", passed the gate" : ", REFUSED by the gate";
  return `${one.name}: ${compact(one.examples)} examples, ${moment(one.kept_at_ms)}${gate}${one.note ? `, ${one.note}` : ""}`;
}
