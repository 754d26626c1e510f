// The chat in the middle: what stands above the messages, the log, the composer or the ended state, and the read mark.

import { $, el, icon } from "./dom.js";
import { call, chatPath, session } from "./api.js";
import { bytes, mediumTime } from "./format.js";
import { History, isUnknownChat } from "./history.js";
import { faceOf, nameOf } from "./list.js";
import { Log } from "./log.js";
import { debounced } from "./signals.js";
import { announce } from "./notices.js";
import { senderName } from "./message.js";
import { Panel, Viewer } from "./viewer.js";
import { many, t } from "./words.js";

const KEPT_HISTORIES = 5;
const READ_MILLISECONDS = 250;

/** The open chat. `chats`, `composer`, `chips`, `outbox`, `uploads`, `live` are the page's one of each. */
export class ChatView {
  chatId = null;
  usage = null;
  #histories = new Map();
  #viewer = new Viewer();
  #panel = new Panel();
  #readMark = 0;
  #unknown = false;

  constructor({ chats, outbox, uploads, live }) {
    this.chats = chats;
    this.outbox = outbox;
    this.uploads = uploads;
    this.live = live;
    this.#markLater = debounced(() => this.#markRead(), READ_MILLISECONDS);
    this.log = new Log({ onRead: () => this.#markLater() });
    addEventListener("focus", () => this.#markLater());
    document.addEventListener("visibilitychange", () => this.#markLater());
    outbox.on("changed", (chatId) => chatId === this.chatId && this.#showPending());
    live.on("messages", ({ CHATID, message, status }) => this.#histories.get(CHATID)?.take(message, status));
    live.on("hello", (_, back) => back && this.history?.opened && this.history.catchUp().catch(() => {}));
  }

  #markLater;

  get history() {
    return this.#histories.get(this.chatId) ?? null;
  }

  get chat() {
    return this.chatId === null ? undefined : this.chats.get(this.chatId);
  }

  get panelOpen() {
    return this.#panel.open;
  }

  closePanel() {
    this.#panel.close();
  }

  /** Shows a chat, or none for null. Resolves when its newest messages are there. */
  async open(chatId) {
    this.#panel.close();
    this.chatId = chatId;
    this.usage = null;
    this.#unknown = false;
    this.composer.show(chatId);
    this.chips.show(chatId);
    $("talk").hidden = chatId === null;
    $("nothing").hidden = chatId !== null;
    $("app").dataset.view = chatId === null ? "list" : "chat";
    this.chats.sticky = chatId === null ? null : { chatId, wasUnread: (this.chat?.unread ?? 0) > 0 };
    this.chats.emit("changed");
    if (chatId === null) {
      this.log.clear();
      this.live.watch(null);
      return;
    }
    this.showTop();
    await this.#load(chatId);
  }

  async #load(chatId) {
    const history = this.#historyOf(chatId);
    if (history.opened) this.#showLog(history);
    else this.log.showLoading();
    // The summary is asked for beside the messages: neither waits for the other.
    const summary = call("GET", chatPath(chatId)).then(({ chat, usage }) => {
      if (chatId !== this.chatId) return;
      this.usage = usage;
      this.chats.apply([chat]);
    });
    summary.catch(() => {}); // whoever awaits it hears of it; nobody may by then
    try {
      const known = history.opened;
      await history.open();
      // Who writes, and what is unread of it, is in the summary.
      if (!this.chats.get(chatId)) await summary;
      if (chatId !== this.chatId) return;
      if (!known) this.#showLog(history);
      this.live.watch(chatId, () => history.last);
      await summary;
      this.showTop();
      this.#markLater();
    } catch (fault) {
      if (chatId !== this.chatId) return;
      this.#unknown = isUnknownChat(fault);
      this.showTop();
      if (!history.opened) this.log.showFault(fault, () => this.#load(chatId));
    }
  }

  #showLog(history) {
    this.log.show(history, {
      customerName: this.chat?.customerName,
      unreadAfter: this.chat?.unread > 0 ? this.chat.readSequence : null,
      open: this.#open,
    });
    this.#showPending();
  }

  #open = {
    picture: (file) => {
      const pictures = this.history.messages
        .flatMap((message) => message.file)
        .filter((each) => each.fileType === "IMAGE" && !each.removedAt);
      this.#viewer.show(
        pictures,
        pictures.findIndex((each) => each.fileId === file.fileId),
      );
    },
    paper: (file) => this.#panel.show(file),
  };

  #historyOf(chatId) {
    const history = this.#histories.get(chatId) ?? new History(chatId);
    if (!this.#histories.has(chatId)) {
      history.on("added", (messages) => this.#added(history, messages));
      history.on("ended", () => chatId === this.chatId && this.showTop());
    }
    this.#histories.delete(chatId);
    this.#histories.set(chatId, history);
    // The oldest visited goes: a day's chats would fill the memory.
    if (this.#histories.size > KEPT_HISTORIES) this.#histories.delete(this.#histories.keys().next().value);
    return history;
  }

  #added(history, messages) {
    for (const { clientToken } of messages) {
      if (!clientToken) continue;
      this.outbox.remove(clientToken);
      this.uploads.stored(clientToken);
    }
    if (history.chatId !== this.chatId) return;
    this.log.added(messages);
    for (const message of messages) {
      if (message.agentName === session.agentName && message.sender === "AGENT") continue;
      const what =
        message.text ??
        message.file
          .map((file) => t("announce.file", { family: t(`kind.${file.fileType}`), name: file.originalFileName }))
          .join(", ");
      announce(t("announce.message", { who: senderName(message, this.chat?.customerName), what }));
    }
    if (this.usage) {
      for (const file of messages.flatMap((message) => message.file))
        this.usage = { files: this.usage.files + 1, bytes: this.usage.bytes + file.size };
    }
    this.#markLater();
  }

  /** A message of ours is stored: it is shown at once, the live stream brings it again and is not needed for it. */
  stored(chatId, receipt, { text, token }) {
    const message = {
      messageId: receipt.messageId,
      sequence: receipt.sequence,
      sender: "AGENT",
      agentName: session.agentName,
      sentAt: receipt.sentAt,
      text,
      clientToken: token,
      file: receipt.file ?? [],
    };
    this.#histories.get(chatId)?.take([message]);
  }

  #showPending() {
    this.log.showPending(this.outbox.of(this.chatId), {
      retry: (entry) => this.outbox.retry(entry.token),
      edit: (entry) => {
        this.outbox.remove(entry.token);
        this.composer.putBack(entry.text);
      },
    });
  }

  /** Shows what is known of the chat: name, CHATID, status. */
  showTop() {
    const chat = this.chat;
    if (this.chatId === null) return;
    const name = chat ? nameOf(chat) : this.chatId;
    if ($("who").textContent !== name) $("who").textContent = name;
    $("face").replaceChildren(...(chat ? [faceOf(chat)] : []));
    const about = [
      chat?.customerName ? this.chatId : null,
      chat ? t("chat.since", { when: mediumTime(chat.startedAt) }) : null,
      this.usage ? many("chat.files", this.usage.files, { size: bytes(this.usage.bytes) }) : null,
    ];
    $("about").textContent = about.filter(Boolean).join(" · ");
    $("about").title = $("about").textContent;
    const ended = chat?.status === "ENDED" || this.history?.status === "ENDED";
    const focusInside = $("composer").contains(document.activeElement) || document.activeElement === $("end-button");
    $("end-button").hidden = $("transcript-button").hidden = this.#unknown;
    if (ended) $("end-button").hidden = true;
    $("composer").hidden = ended || this.#unknown;
    $("ended").hidden = !ended;
    if (ended) this.#showEnded(chat);
    if (ended && focusInside) $("log").focus();
    $("transcript-zip").href = `api/${chatPath(this.chatId, "/transcript.zip")}`;
    $("transcript-json").href = `api/${chatPath(this.chatId, "/transcript.json")}`;
  }

  #showEnded(chat) {
    const says = chat?.endedAt
      ? t("ended.says", { who: chat.endedBy ?? t("ended.somebody"), when: mediumTime(chat.endedAt) })
      : t("ended.title");
    const draft = this.composer.draft.trim();
    $("ended").replaceChildren(
      icon("end"),
      el(
        "div",
        {},
        el("p", { class: "ended-title", text: says }),
        el("p", { text: t("ended.explains") }),
        draft ? el("p", { class: "ended-draft", dir: "auto", text: t("ended.draft", { draft }) }) : null,
      ),
    );
  }

  // What is on screen in a window that has the focus is read.
  #markRead() {
    const history = this.history;
    if (!history?.opened || document.hidden || !document.hasFocus() || !this.log.atNewest || $("talk").hidden) return;
    const chat = this.chat;
    const mark = `${history.chatId}/${history.last}`;
    if (
      history.last === 0 ||
      mark === this.#readMark ||
      (chat && chat.unread === 0 && chat.lastSequence <= history.last)
    )
      return;
    this.#readMark = mark;
    this.chats.markRead(history.chatId);
    call("POST", chatPath(history.chatId, "/read"), { json: { sequence: history.last } }).catch(() => {
      this.#readMark = 0;
    });
  }
}
