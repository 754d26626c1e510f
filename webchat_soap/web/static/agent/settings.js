// The menu's switches, kept for each agent in this browser; the theme for the browser, so that it stands before sign-in.

import { $ } from "./dom.js";
import { keep, recall } from "./keep.js";
import { canNotify } from "./notices.js";
import { t } from "./words.js";

/** Whether single letters are keys; with them off only combinations are (people who speak their text need that). */
export const singleKeys = () => recall("single-keys", true);

export function setUpSettings() {
  placeUnder($("menu-button"), $("menu"));
  placeUnder($("transcript-button"), $("transcript"));
  themes();
  for (const name of ["sound", "single-keys"]) {
    const input = $(name);
    input.checked = recall(name, true);
    input.addEventListener("change", () => keep(name, input.checked));
  }
  notifications();
}

/** A popover stands under its button, within the window. */
function placeUnder(button, popover) {
  popover.addEventListener("toggle", (event) =>
    button.setAttribute("aria-expanded", String(event.newState === "open")),
  );
  popover.addEventListener("click", (event) => event.target.closest("a") && popover.hidePopover());
  popover.addEventListener("beforetoggle", (event) => {
    if (event.newState !== "open") return;
    const box = button.getBoundingClientRect();
    popover.style.top = `${box.bottom + 6}px`;
    popover.style.left = "auto";
    popover.style.right = "auto";
    if (box.left + 280 < innerWidth) popover.style.left = `${box.left}px`;
    else popover.style.right = `${Math.max(8, innerWidth - box.right)}px`;
  });
}

function themes() {
  let theme = "auto";
  try {
    theme = localStorage.getItem("webchat/theme") ?? "auto";
  } catch {
    // No storage: the choice lasts as long as the page.
  }
  for (const input of document.querySelectorAll("input[name=theme]")) {
    input.checked = input.value === theme;
    input.addEventListener("change", () => {
      if (input.value === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = input.value;
      try {
        localStorage.setItem("webchat/theme", input.value);
      } catch {
        // As above.
      }
    });
  }
}

function notifications() {
  const input = $("notifications");
  const possible = canNotify();
  const say = (key) => {
    $("notifications-note").textContent = key ? t(key) : "";
  };
  input.disabled = !possible;
  if (!possible) say("settings.notifications-impossible");
  input.checked = possible && recall("notifications", false) && Notification.permission === "granted";
  input.addEventListener("change", async () => {
    say(null);
    if (input.checked && (await Notification.requestPermission()) !== "granted") {
      input.checked = false;
      say("settings.notifications-denied");
    }
    keep("notifications", input.checked);
  });
}
