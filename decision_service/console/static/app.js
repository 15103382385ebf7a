// The shell: who is signed in, which page is shown, whether the server is there.
import { act, news, who } from "./lib/api.js";
import { h, put } from "./lib/dom.js";
import { live } from "./lib/live.js";
import { failed } from "./lib/parts.js";
import * as api from "./lib/api.js";

const PAGES = [
  ["overview", "Overview"], ["models", "Models"], ["arms", "Arms"],
  ["decisions", "Decisions"], ["evaluate", "Evaluate"], ["graph", "Graph"],
];
const THEMES = ["system", "light", "dark"];
const at = (id) => document.getElementById(id);
const main = at("main");

let signedIn = null;
let end = () => {};
let turn = 0;

/** The page that the address names, and what stands behind it: `#/decisions/<id>`. */
function place() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return [PAGES.some(([known]) => known === name) ? name : "overview", rest.map(unescaped)];
}

function unescaped(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

async function show() {
  const mine = ++turn;
  end();
  end = () => {};
  if (signedIn === null) return signIn();
  const [name, rest] = place();
  for (const link of at("nav").children) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = h("div", { class: `page page-${name}` }, h("p", { class: "loading" }, "Loading …"));
  put(main, root);
  try {
    const page = await import(`./pages/${name}.js`);
    if (mine !== turn) return;
    document.title = `${page.title} · ${signedIn.application} · Sidearm`;
    const over = await page.show(root, api, live, rest, signedIn);
    if (mine === turn) end = over ?? end;
    else over?.();
  } catch (error) {
    if (mine === turn && signedIn !== null) put(root, failed(error));
  }
}

function signIn(said = "") {
  document.title = "Sign in · Sidearm";
  const key = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    placeholder: "sk_…", "aria-describedby": "key-hint key-error" });
  const error = h("p", { id: "key-error", class: "error", role: "alert" }, said);
  const button = h("button", { class: "primary" }, "Sign in");
  const form = h("form", { class: "sign-in", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    put(error);
    try {
      begin(await act("POST", "/console/session", { key: key.value }));
    } catch (refused) {
      put(error, refused.message);
      key.select();
    } finally {
      button.disabled = false;
    }
  } },
  h("h1", {}, "Sign in"),
  h("label", { for: "key" }, "API key"), key,
  h("p", { id: "key-hint", class: "hint" }, "With the role ", h("code", {}, "read"), " to look, ", h("code", {}, "admin"),
    " to change things. ", h("code", {}, "make run"), " prints one; ", h("code", {}, "sidearm keys"),
    " makes more. It is not kept in the browser: a session lasts twelve hours."),
  error, button);
  put(main, form);
  key.focus();
}

function begin(somebody) {
  signedIn = somebody;
  put(at("application"), somebody.application);
  put(at("who"), somebody.name);
  at("who").title = `roles: ${somebody.roles.join(", ")}`;
  at("sign-out").hidden = false;
  at("nav").hidden = false;
  show();
}

function over(said = "") {
  if (signedIn !== null || main.querySelector(".sign-in") === null) {
    signedIn = null;
    ++turn;
    end();
    end = () => {};
    put(at("who"));
    at("sign-out").hidden = true;
    at("nav").hidden = true;
    at("pulse").hidden = true;
    signIn(said);
  }
}

function banner(text) {
  at("banner").hidden = text === "";
  if (at("banner").textContent !== text) put(at("banner"), text);
  at("pulse").hidden = text !== "" || signedIn === null;
}

function theme(chosen) {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try { localStorage.setItem("sidearm-theme", chosen); } catch { /* not kept, then */ }
  const button = at("theme");
  put(button, { system: "Auto", light: "Light", dark: "Dark" }[chosen]);
  button.setAttribute("aria-label", `Theme: ${chosen}. Change it`);
  window.dispatchEvent(new Event("sidearm-theme"));
}

put(at("nav"), PAGES.map(([name, title]) => h("a", { href: `#/${name}`, "data-page": name }, title)));
at("nav").hidden = true;
at("pulse").title = "The server answers";
theme(document.documentElement.dataset.theme ?? "system");
at("theme").addEventListener("click", () => {
  theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % THEMES.length]);
});
at("sign-out").addEventListener("click", async () => {
  await act("DELETE", "/console/session").catch(() => {});
  over();
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
window.addEventListener("hashchange", async () => { await show(); main.focus({ preventScroll: true }); });
news.addEventListener("away", () => banner("The server does not answer. What is shown may be old; trying again …"));
news.addEventListener("answered", () => banner(""));
news.addEventListener("signed-out", (event) => {
  if (signedIn !== null) over(event.detail?.detail ?? "The session has ended.");
});

async function start() {
  try {
    const somebody = await who();
    if (somebody === null) over();
    else begin(somebody);
  } catch {
    put(main, h("p", { class: "loading" }, "Waiting for the server …"));
    setTimeout(start, 2000);
  }
}

start();
