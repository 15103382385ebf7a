// A dialog that does something: it stays open until that is done, and says why it was refused.
import { h, put } from "./dom.js";

/**
 * Resolves to what `does()` gives, or to null where somebody thought better of it.
 * `body`: nodes; `does`: what happens at the button, may be refused; `ready`: whether there is anything to do.
 */
export function ask(title, body, { yes, danger = false, does }) {
  return new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const cancel = h("button", { type: "button", class: "quiet" }, "Cancel");
    const button = h("button", { class: danger ? "danger" : "primary" }, yes);
    let result = null;
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      put(error);
      try {
        result = await does();
        dialog.close();
      } catch (refused) {
        put(error, refused.message);
      } finally {
        button.disabled = false;
      }
    };
    const dialog = h("dialog", { class: "confirm", "aria-labelledby": "ask-title" },
      h("form", { onsubmit: submit }, h("h2", { id: "ask-title" }, title),
        h("div", { class: "confirm-body" }, body), error, h("menu", {}, cancel, button)));
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); resolve(result); });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("input, select") ?? cancel).focus();
  });
}
