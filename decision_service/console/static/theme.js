// Before anything is drawn: what was chosen last, else what the system says.
"use strict";
{
  let chosen = null;
  try { chosen = localStorage.getItem("sidearm-theme"); } catch { /* no storage: the system's */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
