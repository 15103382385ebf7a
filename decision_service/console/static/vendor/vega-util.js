// Ours: what vega-interpreter.js imports, taken from vega.min.js, which is loaded before it.
export const { ascending, isString, DisallowedObjectProperties } = globalThis.vega;
