// Whether all is well, at one look.
import { h, put } from "../lib/dom.js";
import { compact, count, lasting, percent } from "../lib/format.js";
import { tile } from "../lib/parts.js";

export const title = "Overview";

export async function show(root, api, live) {
  const draw = (data) => put(root, h("h1", {}, title), tiles(data));
  draw(await api.get("/v1/console/overview"));
  return live("overview", draw);
}

function tiles(data) {
  const balanced = data.books.decisions === 0 && data.books.rewards === 0;
  return h("div", { class: "tiles" },
    tile("Decisions", compact(data.decisions), { below: `${count(data.pending)} wait for their rewards` }),
    tile("Answered by the backstop", percent(data.backstop_share)),
    tile("Weights", lasting(data.learner.weights_age_ms), { unit: "old", below: `version ${count(data.learner.version)}` }),
    tile("Books", balanced ? "balance" : "do not balance", { state: balanced ? "good" : "bad" }));
}
