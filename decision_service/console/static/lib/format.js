// Numbers and times for people. Null is an en dash everywhere.

const NONE = "–";
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const known = (value) => value !== null && value !== undefined && Number.isFinite(Number(value));

/** 1,234,567 */
export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** 1.23M */
export const compact = (value) => (known(value) ? short.format(value) : NONE);

/** As many digits as say something: 0.0731, 12.5, 1,204 */
export function figure(value, digits = 3) {
  if (!known(value)) return NONE;
  const at = Math.abs(value);
  if (at >= 1000) return whole.format(value);
  return at === 0 ? "0" : new Intl.NumberFormat("en-GB", { maximumSignificantDigits: digits }).format(value);
}

/** With so many places, for columns that stand below each other. */
export const fixed = (value, places = 3) => (known(value) ? Number(value).toFixed(places).replace("-", "−") : NONE);

/** With its sign: +0.021 */
export function signed(value, places = 3) {
  return known(value) ? `${value > 0 ? "+" : ""}${fixed(value, places)}` : NONE;
}

/** A share as per cent: 12.3 % */
export function percent(share, places = 1) {
  if (!known(share)) return NONE;
  if (share > 0 && share < 0.5 * 10 ** (-places - 2)) return `<${(10 ** -places).toFixed(places)} %`;
  return `${(share * 100).toFixed(places)} %`;
}

/** Milliseconds as a length of time: 3.2 ms, 1.5 s, 4 min, 3 h, 2 d */
export function lasting(ms) {
  if (!known(ms)) return NONE;
  if (ms < 1000) return `${figure(ms, 2)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${figure(s, 2)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${figure(s / 3600, 2)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** Time of day, here. */
export const time = (ms) => (known(ms) ? clock.format(new Date(ms)) : NONE);

/** Day and time, here. */
export const moment = (ms) => (known(ms) ? day.format(new Date(ms)) : NONE);
