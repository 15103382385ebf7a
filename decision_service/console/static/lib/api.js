// The API, as the browser that is signed in.

/** The server answered and refused: `status`, and `problem` as it told it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `refused (${status})`);
    this.status = status;
    this.problem = problem;
  }
}

/** Nobody answered. */
export class Away extends Error {
  constructor() { super("The server does not answer."); }
}

/** GET; the JSON of the answer. `path` begins with "/v1/…". */
export function get(path, signal) { return ask("GET", path, undefined, signal); }

/** POST, PUT, PATCH or DELETE; the JSON of the answer, or null. */
export function act(method, path, body) { return ask(method, path, body); }

/** Who is signed in, or null. */
export function who() { return get("/console/session"); }

/** Relative, so that the console may live below another path. */
export function address(path) { return new URL(`..${path}`, document.baseURI).href; }

async function ask(method, path, body, signal) {
  const headers = { "x-sidearm-console": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin", cache: "no-store", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell("away");
    throw new Away();
  }
  tell("answered");
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) tell("signed-out", problem);
  throw new Refused(answer.status, problem);
}

/** `away`, `answered` and `signed-out` (with the problem), for the shell. */
export const news = new EventTarget();

function tell(what, detail) { news.dispatchEvent(new CustomEvent(what, { detail })); }
