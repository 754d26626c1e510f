// What happens, as it happens: one event stream for the list and the chat that is looked at, opened again when it breaks.

import { call, link, pause } from "./api.js";
import { Naps, Signals } from "./signals.js";

/** Emits "hello", "messages", "chats" with their data, hello also with whether anything may have been missed before it,
 * and "state" with true (connected) or false. */
export class Live extends Signals {
  /** null: not yet. */
  connected = null;
  #source = null;
  #open = new Set();
  #interrupted = false;
  #naps = new Naps();
  #tries = 0;
  #chatId = null;
  #after = () => 0;
  #stopped = false;
  #connecting = false;

  constructor() {
    super();
    addEventListener("online", () => this.now());
    addEventListener("offline", () => this.#lost());
    addEventListener("focus", () => this.now());
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      this.#interrupted = true;
      this.#connect();
    });
  }

  /** Looks at this chat from now on, from the message `after()` on; null: at none. */
  watch(chatId, after = () => 0) {
    this.#chatId = chatId;
    this.#after = after;
    this.#connect();
  }

  /** Tries again without waiting; does nothing where a stream stands or is just being opened. */
  now() {
    if (this.connected) return;
    // What is on its way may have set out too early: after it, too, the next ones follow soon.
    this.#tries = 0;
    if (this.#connecting) return;
    if (!this.#naps.wake()) this.#connect();
  }

  /** No session: nothing is tried any more. */
  stop() {
    this.#stopped = true;
    this.#closeOthers(null);
  }

  #connect() {
    if (this.#stopped) return;
    const asked = this.#chatId === null ? "" : `?${new URLSearchParams({ chat: this.#chatId, after: this.#after() })}`;
    this.#connecting = true;
    const source = new EventSource(`api/events${asked}`);
    this.#source = source;
    this.#open.add(source);
    const heard = (name, action) =>
      source.addEventListener(name, (event) => {
        // The streams of the chats before go on until the new one speaks, so that the list misses nothing.
        if (source === this.#source || name !== "hello") action(JSON.parse(event.data));
      });
    heard("hello", (data) => {
      this.#closeOthers(source);
      this.#connecting = false;
      this.#tries = 0;
      const back = this.#interrupted || !this.connected;
      this.#interrupted = false;
      this.#say(true);
      this.emit("hello", data, back);
    });
    heard("messages", (data) => this.emit("messages", data));
    heard("chats", (data) => this.emit("chats", data));
    heard("bye", ({ reason }) => {
      if (reason === "session") link.emit("lost");
      else if (source === this.#source && reason === "replaced") this.#rest();
      else if (source === this.#source) this.#again();
    });
    source.addEventListener("error", () => {
      if (source !== this.#source) return this.#close(source);
      this.#closeOthers(source);
      if (this.#connecting && this.#tries > 0) this.#askForSession();
      return this.#again();
    });
  }

  // A stream that does not come up tells nobody why: without a session none ever will. Quiet, or the answer would be
  // taken for a reason to try again at once.
  #askForSession() {
    if (navigator.onLine !== false) call("GET", "session", { quiet: true }).catch(() => {});
  }

  #close(source) {
    source.close();
    this.#open.delete(source);
  }

  #closeOthers(source) {
    for (const other of this.#open) if (other !== source) this.#close(other);
  }

  // The browser would try again by itself, but with the address of the first time: `after` has moved on since.
  async #again() {
    this.#close(this.#source);
    this.#connecting = false;
    // However short it was: what happened meanwhile in other chats was told to nobody.
    this.#interrupted = true;
    const source = this.#source;
    this.#tries += 1;
    this.#lost();
    await this.#naps.nap(pause(this.#tries));
    if (source === this.#source) this.#connect();
  }

  // The agent has too many pages open: this one comes back when it is used, or they would take turns for ever.
  #rest() {
    this.#close(this.#source);
    this.#connecting = false;
    this.#interrupted = true;
    this.#say(false);
  }

  #lost() {
    // One broken stream may be a server that starts anew; what tells is that the next one does not come up either.
    if (this.#tries > 1 || navigator.onLine === false) this.#say(false);
  }

  #say(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.emit("state", connected);
  }
}
