// Vega-Lite, loaded when the first chart of it is drawn. Expressions are interpreted, nothing is compiled.
let loading = null;

function script(name) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = new URL(`../vendor/${name}`, import.meta.url).href;
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => reject(new Error("The charts could not be loaded.")));
    document.head.append(element);
  });
}

function load() {
  loading ??= script("vega.min.js").then(() => script("vega-lite.min.js")).then(() => import("../vendor/vega-interpreter.js"));
  loading.catch(() => { loading = null; });
  return loading;
}

/**
 * Draw a chart of Vega-Lite in `root`, in the colours of the page; returns what ends it.
 * `make(width)`: the chart, in the colours of the moment, so many pixels wide. `label`: read out.
 */
export async function draw(root, make, label) {
  let view = null, ended = false;
  async function again() {
    const { expressionInterpreter } = await load();
    if (ended) return;
    view?.finalize();
    const { vega, vegaLite } = window;
    const compiled = vegaLite.compile({ ...make(root.clientWidth), background: null, config: colours() }).spec;
    view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: expressionInterpreter, renderer: "canvas", container: root, hover: true, logLevel: vega.Error,
    });
    await view.runAsync();
    const canvas = root.querySelector("canvas");
    canvas?.setAttribute("role", "img");
    canvas?.setAttribute("aria-label", label);
  }
  const bright = matchMedia("(prefers-color-scheme: dark)");
  const change = () => { again().catch(() => {}); };
  window.addEventListener("sidearm-theme", change);
  bright.addEventListener("change", change);
  await again();
  return () => {
    ended = true;
    window.removeEventListener("sidearm-theme", change);
    bright.removeEventListener("change", change);
    view?.finalize();
  };
}

/** A colour of the page by its name: "accent", "series-1". */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function colours() {
  const font = getComputedStyle(document.body).fontFamily;
  const soft = colour("soft"), line = colour("line");
  return {
    font, view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: 220 },
    legend: { labelColor: soft, titleColor: soft, labelFontSize: 12 },
    range: { category: [1, 2, 3, 4, 5, 6].map((one) => colour(`series-${one}`)) },
    rule: { color: colour("faint") }, text: { color: soft, font },
  };
}
