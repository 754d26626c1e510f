// Questions and the list of keys. A dialog keeps the focus inside and gives it back to where it was.

import { $, el } from "./dom.js";
import { call, chatPath, faultText } from "./api.js";
import { t } from "./words.js";

/** Asks once more before a chat is ended; `ended` gets the answer's summary.
 * Returns the function that asks, for a CHATID and what the chat is called. */
export function setUpEnding(ended) {
  const dialog = $("end-dialog");
  const yes = $("end-yes");
  let chatId = null;
  yes.addEventListener("click", async () => {
    $("end-error").textContent = "";
    yes.setAttribute("aria-busy", "true");
    try {
      const { chat } = await call("POST", chatPath(chatId, "/end"), { json: {} });
      dialog.close();
      ended(chat);
    } catch (fault) {
      $("end-error").textContent = faultText(fault);
    } finally {
      yes.removeAttribute("aria-busy");
    }
  });
  return (asked, name) => {
    chatId = asked;
    $("end-title").textContent = t("end.title", { name });
    $("end-error").textContent = "";
    dialog.showModal();
  };
}

/** The session is over: says so and leads to the sign-in, and from there back to where the agent was.
 * The focus is on the title: the Enter of who is writing just then must not leave the page before this is read. */
export function showSessionLost() {
  const dialog = $("session-dialog");
  if (dialog.open) return;
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  $("session-link").href = `sign-in?${new URLSearchParams({ next: location.pathname + location.hash })}`;
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
}

/** The keys and what they do: pairs of the combinations and a sentence. */
export function showKeys(keys) {
  $("keys").replaceChildren(
    ...keys.map(({ combinations, name }) =>
      el(
        "div",
        {},
        el(
          "dt",
          {},
          ...combinations.map((parts) =>
            el("span", { class: "combination" }, ...parts.map((part) => el("kbd", { text: part }))),
          ),
        ),
        el("dd", { text: name }),
      ),
    ),
  );
  $("keys-dialog").showModal();
}
