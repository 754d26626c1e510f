// The chats of the list: what is known of them, which are shown and in what order.

import { call } from "./api.js";
import { Signals } from "./signals.js";

const PAGE = 50;

/** Emits "changed" when the list is to be shown anew, "news" with summaries that came live. */
export class Chats extends Signals {
  status = "open";
  query = "";
  counts = { open: 0, unread: 0 };
  searchedAll = true;
  loading = false;
  fault = null;
  /** The chat that is looked at keeps its place while it is: what was clicked must not jump away. */
  sticky = null;
  #known = new Map();
  #shown = new Set();
  #next = null;
  #asked = 0;
  /** What came while the list was being asked for: its answer may be older. */
  #meanwhile = new Map();
  #latest = null;

  /** A chat's summary, or undefined. */
  get(chatId) {
    return this.#known.get(chatId);
  }

  get more() {
    return this.#next !== null;
  }

  /** The summaries in order: open ones unread first, then newest message; ended ones newest end first. */
  ordered() {
    const unread = (chat) =>
      chat.unread > 0 || (this.sticky?.chatId === chat.CHATID && this.sticky.wasUnread) ? 1 : 0;
    const time = (chat) => (this.status === "open" ? (chat.lastSentAt ?? chat.startedAt) : (chat.endedAt ?? ""));
    return [...this.#shown]
      .map((chatId) => this.#known.get(chatId))
      .sort(
        (a, b) =>
          (this.status === "open" ? unread(b) - unread(a) : 0) || (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : 0),
      );
  }

  /** Shows another filter or search. Resolves when it is shown, or failed. */
  async choose({ status = this.status, query = this.query }) {
    this.status = status;
    this.query = query;
    this.load();
    await this.settled();
  }

  /** Loads the first page anew. An answer that a later question has overtaken is dropped. */
  load() {
    this.#latest = this.#load();
    return this.#latest;
  }

  /** Resolves when what was last asked for is there, or failed. */
  async settled() {
    let awaited;
    do {
      awaited = this.#latest;
      await awaited;
    } while (awaited !== this.#latest);
  }

  async #load() {
    const asked = (this.#asked += 1);
    this.#meanwhile.clear();
    this.loading = true;
    this.emit("changed");
    try {
      const answer = await this.#page(null);
      if (asked !== this.#asked) return;
      this.fault = null;
      this.#shown.clear();
      this.#take(answer);
    } catch (fault) {
      if (asked === this.#asked) this.fault = fault;
    } finally {
      if (asked === this.#asked) {
        this.loading = false;
        this.emit("changed");
      }
    }
  }

  /** Loads the next page behind what is shown. */
  async loadMore() {
    if (this.#next === null || this.loading) return;
    const asked = this.#asked;
    this.#meanwhile.clear();
    this.loading = true;
    try {
      const answer = await this.#page(this.#next);
      if (asked !== this.#asked) return;
      this.fault = null;
      this.#take(answer);
    } catch (fault) {
      if (asked === this.#asked) this.fault = fault;
    } finally {
      if (asked === this.#asked) {
        this.loading = false;
        this.emit("changed");
      }
    }
  }

  /** Takes summaries that came from elsewhere than the list: live, or of one chat alone. */
  apply(summaries, counts = null) {
    for (const chat of summaries) {
      const before = this.#known.get(chat.CHATID);
      if (this.loading) this.#meanwhile.set(chat.CHATID, chat);
      // What a search found stays found while it is searched for: a live summary knows nothing of it.
      const match = this.query === "" ? undefined : (chat.match ?? before?.match);
      this.#known.set(chat.CHATID, { ...chat, match });
      const fits = chat.status.toLowerCase() === this.status;
      if (!fits) this.#shown.delete(chat.CHATID);
      else if (this.query === "") this.#shown.add(chat.CHATID);
    }
    if (counts) this.counts = counts;
    this.emit("changed");
  }

  /** What the agent has read is read at once; the service hears of it on its own. */
  markRead(chatId) {
    const chat = this.#known.get(chatId);
    if (!chat || chat.unread === 0) return;
    this.apply([{ ...chat, unread: 0 }], { ...this.counts, unread: Math.max(0, this.counts.unread - 1) });
  }

  #page(before) {
    const asked = new URLSearchParams({ status: this.status, max: PAGE });
    if (this.query) asked.set("q", this.query);
    if (before) asked.set("before", before);
    return call("GET", `chats?${asked}`);
  }

  #take(answer) {
    for (const chat of answer.chat) {
      this.#known.set(chat.CHATID, chat);
      this.#shown.add(chat.CHATID);
    }
    this.#next = answer.next;
    this.searchedAll = answer.searchedAll !== false;
    const newer = [...this.#meanwhile.values()].filter((chat) => !isOlder(chat, this.#known.get(chat.CHATID)));
    if (this.#meanwhile.size === 0) this.counts = answer.counts;
    this.#meanwhile.clear();
    if (newer.length > 0) this.apply(newer);
  }
}

/** Whether of two summaries of a chat the first was made before the other. */
const isOlder = (one, other) =>
  one.lastSequence < other.lastSequence ||
  (one.lastSequence === other.lastSequence && (one.readSequence ?? 0) < (other.readSequence ?? 0));
