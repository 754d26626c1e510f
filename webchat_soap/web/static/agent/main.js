// The page's one of each thing, tied together.

import { $, el, icon } from "./dom.js";
import { faultText, link, loadSession } from "./api.js";
import { ChatView } from "./chat.js";
import { Chats } from "./chats.js";
import { Chips } from "./chips.js";
import { Composer } from "./composer.js";
import { setUpEnding, showSessionLost } from "./dialogs.js";
import { refreshTimes, setServerTime } from "./format.js";
import { setUpKeys } from "./keys.js";
import { List, nameOf } from "./list.js";
import { Live } from "./live.js";
import { announce, notify, ring, showTitle } from "./notices.js";
import { Outbox } from "./outbox.js";
import { setUpSettings } from "./settings.js";
import { Uploads } from "./uploads.js";
import { t } from "./words.js";

const REFRESH_MILLISECONDS = 30_000;

const chats = new Chats();
const outbox = new Outbox();
const uploads = new Uploads((chatId) => outbox.settled(chatId));
const live = new Live();
const view = new ChatView({ chats, outbox, uploads, live });
view.chips = new Chips(uploads, announce);
const list = new List(chats, () => view.chatId);

const wide = matchMedia("(min-width: 720px)");
const route = () => {
  try {
    return location.hash.startsWith("#/chat/") ? decodeURIComponent(location.hash.slice("#/chat/".length)) : null;
  } catch {
    // Half a %-sign, from a link that was cut.
    return null;
  }
};

function go(chatId, { toRead = false } = {}) {
  location.hash = chatId === null ? "#/" : `#/chat/${encodeURIComponent(chatId)}`;
  // Not when the browser tells of the change: the next key may be there before, and would be for the chat before.
  openRoute({ toRead });
}

async function openRoute({ toRead = false } = {}) {
  const chatId = route();
  if (chatId === view.chatId) return;
  const before = view.chatId;
  const opened = view.open(chatId);
  if (chatId === null && before !== null) list.focus(before);
  if (chatId !== null) {
    list.reveal(chatId);
    sessionStorage.setItem("webchat/last", chatId);
    // A single key that follows another is not meant for the customer.
    if (toRead) $("log").focus({ preventScroll: true });
    // On a phone the keyboard would cover what was opened to be read.
    else if (wide.matches && !$("composer").hidden) $("text").focus();
    else $("who").focus({ preventScroll: true });
  }
  await opened;
}

function kick() {
  outbox.kick();
  uploads.kick();
}

function showConnection(connected) {
  const banner = $("banner");
  if (connected) {
    if (banner.childElementCount > 0) announce(t("connection.back"));
    banner.replaceChildren();
    kick();
    return;
  }
  if (banner.childElementCount > 0) return;
  const again = el("button", { type: "button", class: "quiet", text: t("connection.now") });
  again.addEventListener("click", () => {
    live.now();
    kick();
  });
  banner.replaceChildren(icon("offline"), el("span", { text: t("connection.lost") }), again);
}

function showNews(summaries) {
  for (const chat of summaries) {
    const before = chats.get(chat.CHATID);
    const fresh = chat.unread > (before?.unread ?? 0) && chat.lastSequence > (before?.lastSequence ?? 0);
    const seen = chat.CHATID === view.chatId && document.hasFocus() && !document.hidden;
    if (!fresh || seen || chat.status !== "OPEN") continue;
    ring();
    const last = chat.lastMessage;
    if (!document.hasFocus())
      notify(chat.CHATID, nameOf(chat), last?.text ?? last?.file?.[0]?.originalFileName ?? "", () => go(chat.CHATID));
    if (chat.CHATID !== view.chatId) announce(t("announce.elsewhere", { who: nameOf(chat) }));
  }
}

function actions() {
  const open = (chatId, { altKey }) => chatId !== null && go(chatId, { toRead: !altKey });
  return {
    next: (event) => open(list.neighbour(1), event),
    previous: (event) => open(list.neighbour(-1), event),
    unread: (event) => open(list.nextUnread(), event),
    search: () => {
      if (!wide.matches) go(null);
      $("search").focus();
      $("search").select();
    },
    filter: () => chats.choose({ status: chats.status === "open" ? "ended" : "open" }),
    write: () => view.composer.focus(),
    read: () => $("log").focus(),
    attach: () => view.chatId !== null && view.composer.attach(),
    newest: () => view.log.toNewest(),
    transcript: () => view.chatId !== null && $("transcript-button").click(),
    end: () => !$("end-button").hidden && view.chatId !== null && $("end-button").click(),
    leave: (event) => {
      if (document.querySelector(":popover-open")) return;
      if (view.panelOpen) view.closePanel();
      else if (document.activeElement === $("search") && $("search").value !== "") return;
      else if (document.activeElement === $("text") || document.activeElement === $("search")) $("log").focus();
      else if (!wide.matches && view.chatId !== null) go(null);
      else return;
      event.preventDefault();
    },
  };
}

function tie() {
  view.composer = new Composer({ outbox, uploads, usage: () => view.usage });
  setUpSettings();
  const keys = setUpKeys(actions());
  $("show-keys").addEventListener("click", () => {
    $("menu").hidePopover();
    keys.help();
  });
  $("skip").addEventListener("click", () => (view.chatId === null ? $("search") : $("log")).focus());
  $("back").addEventListener("click", () => go(null));
  const askToEnd = setUpEnding((chat) => {
    chats.apply([chat]);
    view.history?.take([], "ENDED");
    view.showTop();
    $("log").focus();
  });
  $("end-button").addEventListener("click", () => askToEnd(view.chatId, $("who").textContent));
  chats.on("changed", () => {
    showTitle(chats.counts.unread, view.chat ? nameOf(view.chat) : null);
    view.showTop();
  });
  outbox.on("sent", (chatId, receipt, entry) => view.stored(chatId, receipt, entry));
  uploads.on("posted", (chatId, receipt, upload) => view.stored(chatId, receipt, { token: upload.token }));
  live.on("state", showConnection);
  live.on("hello", ({ serverTime, counts }, back) => {
    setServerTime(serverTime);
    // What changed while the stream was away is in the list.
    if (back) chats.load();
    else chats.apply([], counts);
  });
  live.on("chats", ({ chat, counts, more }) => {
    showNews(chat);
    chats.apply(chat, counts);
    if (more) chats.load();
  });
  link.on("lost", () => {
    live.stop();
    view.composer.keepDraft();
    showSessionLost();
  });
  link.on("reached", () => (live.connected ? $("banner").childElementCount > 0 && showConnection(true) : live.now()));
  link.on("unreached", () => showConnection(false));
  // There may be a way for texts and files where the stream finds none.
  addEventListener("online", kick);
  addEventListener("hashchange", () => openRoute());
  setInterval(refreshTimes, REFRESH_MILLISECONDS);
}

async function start() {
  try {
    const { serverTime } = await loadSession();
    setServerTime(serverTime);
  } catch (fault) {
    if (fault.code === "Unauthorized") return;
    $("rows-note").textContent = faultText(fault);
    setTimeout(start, 3000);
    return;
  }
  tie();
  outbox.restore();
  uploads.restore();
  const last = sessionStorage.getItem("webchat/last");
  if (route() === null && last && wide.matches) history.replaceState(null, "", `#/chat/${encodeURIComponent(last)}`);
  if (route() === null) live.watch(null);
  await Promise.all([chats.load(), openRoute()]);
}

start();
