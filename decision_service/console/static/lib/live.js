// A page's data as it comes, once a second.
import { address, news, who } from "./api.js";

/** Calls `show(data)` for each; returns what ends it. `refused(problem)`: the server is there and cannot tell. */
export function live(page, show, refused = () => {}) {
  let source, timer, ended = false;

  function open() {
    source = new EventSource(address(`/v1/console/live?page=${encodeURIComponent(page)}`));
    source.addEventListener(page, (event) => { tell("answered"); show(JSON.parse(event.data)); });
    source.addEventListener("refused", (event) => { tell("answered"); refused(JSON.parse(event.data)); });
    source.addEventListener("signed_out", (event) => { stop(); tell("signed-out", JSON.parse(event.data)); });
    source.addEventListener("error", again);
  }

  async function again() {
    source.close();
    clearTimeout(timer);
    let somebody;
    try { somebody = await who(); } catch { /* away; that was told */ }
    if (ended) return;
    if (somebody === null) { stop(); tell("signed-out"); return; }
    timer = setTimeout(() => { if (!ended) open(); }, 1000);
  }

  function stop() {
    ended = true;
    clearTimeout(timer);
    source.close();
  }

  open();
  return stop;
}

function tell(what, detail) { news.dispatchEvent(new CustomEvent(what, { detail })); }
