// One message as elements, with the day above it and the line that says who and when where they are needed.

import { el, icon } from "./dom.js";
import { session } from "./api.js";
import { t } from "./words.js";
import { dayName, dayOf, timeElement } from "./format.js";
import { linked } from "./links.js";
import { fileElement } from "./files.js";

const GROUP_MILLISECONDS = 5 * 60 * 1000;

/** What people call the sender: the customer's name, "You", another agent's name. */
export function senderName(message, customerName) {
  if (message.sender === "CUSTOMER") return customerName ?? t("message.customer");
  if (message.sender === "SYSTEM") return t("message.system");
  return message.agentName === session.agentName ? t("message.you") : (message.agentName ?? t("message.agent"));
}

/** Whether `message` belongs to the same group as the one before it: no line of its own says who and when. */
export function follows(message, before) {
  return (
    before !== undefined &&
    before.sender === message.sender &&
    before.agentName === message.agentName &&
    dayOf(before.sentAt) === dayOf(message.sentAt) &&
    Date.parse(message.sentAt) - Date.parse(before.sentAt) < GROUP_MILLISECONDS
  );
}

/** The list item of a stored message. `before` is the message above it, undefined where none is known. */
export function messageElement(message, before, { customerName, unreadBegins, open }) {
  const newDay = before === undefined || dayOf(before.sentAt) !== dayOf(message.sentAt);
  const joined = !newDay && !unreadBegins && follows(message, before);
  const own = message.sender === "AGENT";
  const item = el("li", {
    class: `message ${message.sender.toLowerCase()}${joined ? " joined" : ""}`,
    "data-sequence": message.sequence,
  });
  if (newDay)
    item.append(
      el("p", { class: "day" }, el("time", { datetime: message.sentAt.slice(0, 10), text: dayName(message.sentAt) })),
    );
  if (unreadBegins) item.append(el("p", { class: "unread-begins", text: t("log.unread") }));
  const name = senderName(message, customerName);
  const line = el(
    "p",
    { class: joined ? "line hidden" : "line" },
    el("bdi", { class: "line-who", text: name }),
    " ",
    timeElement(message.sentAt),
  );
  if (own) {
    const stored = message.agentName === session.agentName ? t("message.sent") : t("message.stored");
    line.append(
      el("span", { class: "stored", title: stored }, icon("check"), el("span", { class: "hidden", text: stored })),
    );
  }
  item.append(line, ...body(message, open));
  return item;
}

function body(message, open) {
  const parts = [];
  if (message.text) parts.push(el("div", { class: "bubble", dir: "auto" }, ...linked(message.text)));
  for (const file of message.file) parts.push(fileElement(file, message, open));
  return parts;
}

/** The list item of a text that is not stored yet. */
export function pendingElement(entry, actions) {
  const failed = Boolean(entry.fault);
  const state = failed ? t("outbox.failed") : entry.waiting ? t("outbox.waiting") : t("outbox.sending");
  return el(
    "li",
    { class: `message agent pending${failed ? " failed" : ""}`, "data-token": entry.token },
    el(
      "p",
      { class: "line" },
      el("span", { class: "line-who", text: t("message.you") }),
      " ",
      icon(failed ? "warning" : "clock"),
      el("span", { class: "state", text: state }),
    ),
    el("div", { class: "bubble", dir: "auto" }, ...linked(entry.text)),
    failed
      ? el(
          "div",
          { class: "failure" },
          el("p", { role: "alert", text: entry.faultText }),
          el("button", { type: "button", class: "quiet", text: t("outbox.retry"), on: { click: actions.retry } }),
          el("button", { type: "button", class: "quiet", text: t("outbox.edit"), on: { click: actions.edit } }),
        )
      : null,
  );
}
