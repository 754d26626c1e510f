// The messages of one chat as far as they were loaded: one stretch without gaps, from some message to the newest.

import { call, chatPath, Refused } from "./api.js";
import { Signals } from "./signals.js";

const PAGE = 50;
const MORE = 100;
const CATCH_UP = 100;

/** Emits "added" with the messages that came at the end, "ended" when the chat's status says so. */
export class History extends Signals {
  messages = [];
  status = "OPEN";
  /** Whether the newest messages are there. */
  opened = false;
  #older = null;
  #catching = null;

  constructor(chatId) {
    super();
    this.chatId = chatId;
  }

  get oldest() {
    return this.messages[0]?.sequence ?? 1;
  }

  get last() {
    return this.messages.at(-1)?.sequence ?? 0;
  }

  /** Sequence of the message before which nothing is. */
  get complete() {
    return this.opened && this.oldest <= 1;
  }

  at(sequence) {
    return this.messages[sequence - this.oldest];
  }

  /** Loads the newest messages, or what came since when they are there. */
  async open() {
    if (this.opened) return this.catchUp();
    const page = await this.#get({ max: PAGE });
    if (this.opened) return undefined;
    this.messages = page.message;
    this.opened = true;
    this.#status(page.status);
    return undefined;
  }

  /** Loads one page of what is before; several calls at once share one question. Returns how many came. */
  older() {
    if (this.complete || !this.opened) return Promise.resolve(0);
    this.#older ??= this.#get({ before: this.oldest, max: MORE })
      .then((page) => {
        const before = page.message.filter((message) => message.sequence < this.oldest);
        this.messages = [...before, ...this.messages];
        return before.length;
      })
      .finally(() => {
        this.#older = null;
      });
    return this.#older;
  }

  /** Takes messages that came live, in whatever order: known ones are left, a gap is filled from the service. */
  take(messages, status = null) {
    if (!this.opened) return;
    const fresh = messages.filter((message) => message.sequence > this.last).sort((a, b) => a.sequence - b.sequence);
    const added = [];
    for (const message of fresh) {
      if (message.sequence === this.last + 1) {
        this.messages.push(message);
        added.push(message);
      }
    }
    if (added.length > 0) this.emit("added", added);
    if (fresh.some((message) => message.sequence > this.last)) this.catchUp().catch(() => {});
    if (status) this.#status(status);
  }

  /** Loads all that came since the last message. */
  catchUp() {
    this.#catching ??= this.#catchUp().finally(() => {
      this.#catching = null;
    });
    return this.#catching;
  }

  async #catchUp() {
    for (;;) {
      const page = await this.#get({ after: this.last, max: CATCH_UP });
      const before = this.last;
      const fresh = page.message.filter((message) => message.sequence > before);
      this.messages.push(...fresh);
      if (fresh.length > 0) this.emit("added", fresh);
      this.#status(page.status);
      if (fresh.length === 0 || this.last >= page.lastSequence) return;
    }
  }

  #status(status) {
    if (status === this.status) return;
    this.status = status;
    if (status === "ENDED") this.emit("ended");
  }

  #get(asked) {
    return call("GET", chatPath(this.chatId, `/messages?${new URLSearchParams(asked)}`));
  }
}

/** Whether a fault says that there is no such chat. */
export const isUnknownChat = (fault) => fault instanceof Refused && fault.code === "ChatNotFound";
