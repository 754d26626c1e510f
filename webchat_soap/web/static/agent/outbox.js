// Texts on their way: kept until the service has them, in order, sent once however often they are tried.

import { call, chatPath, faultText, newToken, pause, Refused } from "./api.js";
import { keep, recallAll } from "./keep.js";
import { Naps, Signals } from "./signals.js";

const MAX_TRIES = 5;
const KEPT = "outbox/";

/** Emits "changed" with a CHATID, "sent" with a CHATID, the receipt and the entry. */
export class Outbox extends Signals {
  #entries = new Map();
  #running = new Set();
  #naps = new Naps();

  /** Takes up what an earlier page left. */
  restore() {
    const kept = [...recallAll(KEPT).values()].sort((a, b) => a.at - b.at);
    for (const entry of kept) this.#entries.set(entry.token, { ...entry, waiting: false });
    for (const chatId of new Set(kept.map((entry) => entry.chatId))) this.#pump(chatId);
  }

  /** The chat's texts that are not stored yet, oldest first. */
  of(chatId) {
    return [...this.#entries.values()].filter((entry) => entry.chatId === chatId);
  }

  add(chatId, text) {
    const entry = { token: newToken(), chatId, text, at: Date.now() + this.#entries.size / 1000 };
    this.#entries.set(entry.token, entry);
    keep(KEPT + entry.token, entry);
    this.emit("changed", chatId);
    this.#pump(chatId);
  }

  /** Takes an entry out: the agent wants it back in the composer, or the service has it. */
  remove(token) {
    const entry = this.#entries.get(token);
    if (!entry) return;
    this.#entries.delete(token);
    keep(KEPT + token, null);
    this.emit("changed", entry.chatId);
  }

  retry(token) {
    const entry = this.#entries.get(token);
    if (!entry) return;
    entry.fault = null;
    this.emit("changed", entry.chatId);
    this.kick();
    this.#pump(entry.chatId);
  }

  kick() {
    this.#naps.wake();
  }

  /** Resolves when none of the chat's texts is on its way: stored, or failed for good. */
  async settled(chatId) {
    await this.until("changed", () => this.of(chatId).every((entry) => entry.fault));
  }

  async #pump(chatId) {
    if (this.#running.has(chatId)) return;
    this.#running.add(chatId);
    try {
      for (let entry = this.#next(chatId); entry; entry = this.#next(chatId))
        await Promise.race([this.#send(entry), this.#removed(entry)]);
    } finally {
      this.#running.delete(chatId);
    }
  }

  #next(chatId) {
    return this.of(chatId).find((entry) => !entry.fault);
  }

  // The live stream may bring a text whose own call is still on its way, or waits after a lost answer: that call is not
  // worth waiting for, the next text would come late.
  #removed(entry) {
    return this.until("changed", () => !this.#entries.has(entry.token));
  }

  async #send(entry) {
    let { wakes } = this.#naps;
    let misses = 0;
    for (let tries = 1; this.#entries.has(entry.token); tries += 1) {
      try {
        const receipt = await call("POST", chatPath(entry.chatId, "/messages"), {
          json: { text: entry.text, clientToken: entry.token },
        });
        this.emit("sent", entry.chatId, receipt, entry);
        this.remove(entry.token);
        return;
      } catch (fault) {
        if (!this.#entries.has(entry.token)) return;
        const refused = fault instanceof Refused && fault.status !== 401;
        if (refused && !(fault.retryable && (fault.retryAfterSeconds || tries < MAX_TRIES))) {
          entry.fault = fault.code;
          entry.faultText = faultText(fault);
          this.emit("changed", entry.chatId);
          return;
        }
        entry.waiting = true;
        this.emit("changed", entry.chatId);
        misses = wakes === this.#naps.wakes ? misses + 1 : 1;
        wakes = this.#naps.wakes;
        await this.#naps.nap(pause(misses, fault));
      }
    }
  }
}
