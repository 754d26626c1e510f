// How the page calls the agent: the title, the tab's sign, a quiet sound, a desktop notification, a spoken line.

import { $ } from "./dom.js";
import { recall } from "./keep.js";
import { t } from "./words.js";

const QUIET_MILLISECONDS = 2000;

let sounds = null;
let lastSound = 0;

/** The number of chats with something unread, and whose chat is looked at. */
export function showTitle(unread, name) {
  const title = name ? t("app.title-of", { name }) : t("app.title");
  document.title = unread > 0 ? `(${unread}) ${title}` : title;
  const favicon = $("favicon");
  const href = unread > 0 ? favicon.dataset.unread : favicon.dataset.quiet;
  if (favicon.getAttribute("href") !== href) favicon.setAttribute("href", href);
}

/** Lets a screen reader say a line when it has time; each line is said once. */
export function announce(line) {
  const says = document.createElement("p");
  says.textContent = line;
  $("polite").append(says);
  while ($("polite").children.length > 5) $("polite").firstElementChild.remove();
}

/** Two soft notes, where the agent lets them. Not more often than every two seconds. */
export function ring() {
  const time = Date.now();
  // Browsers let a page sound only once somebody has touched it, and complain of who tries before.
  if (!recall("sound", true) || time - lastSound < QUIET_MILLISECONDS || !navigator.userActivation?.hasBeenActive)
    return;
  lastSound = time;
  try {
    sounds ??= new AudioContext();
    if (sounds.state === "suspended") sounds.resume();
    [
      [659.3, 0],
      [880, 0.12],
    ].forEach(([pitch, delay]) => note(pitch, sounds.currentTime + delay));
  } catch {
    // No sound device: the title tells.
  }
}

function note(pitch, start) {
  const tone = sounds.createOscillator();
  const volume = sounds.createGain();
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0, start);
  volume.gain.linearRampToValueAtTime(0.06, start + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0005, start + 0.35);
  tone.connect(volume).connect(sounds.destination);
  tone.start(start);
  tone.stop(start + 0.4);
}

/** Whether desktop notifications can be had at all here: only over https or on this machine. */
export const canNotify = () => "Notification" in window && window.isSecureContext;

/** A desktop notification of a chat, where the agent wants them; a newer one of the same chat takes its place. */
export function notify(chatId, title, body, open) {
  if (!recall("notifications", false) || !canNotify() || Notification.permission !== "granted") return;
  const notification = new Notification(title, { body, tag: `webchat-${chatId}`, icon: $("favicon").dataset.quiet });
  notification.addEventListener("click", () => {
    window.focus();
    open();
    notification.close();
  });
}
