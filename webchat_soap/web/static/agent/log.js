// The messages on screen: a window over the chat's history that moves with the reader and never grows large.
//
// At most MAX_SHOWN messages are elements; older and newer ones are taken in when their edge comes near, and let go at
// the other end. Whatever is added or let go above the reader, what is being read stays where it is.

import { $, el } from "./dom.js";
import { faultText } from "./api.js";
import { many, t } from "./words.js";
import { messageElement, pendingElement } from "./message.js";

const STEP = 50;
const MAX_SHOWN = 200;
const EDGE_PIXELS = 1200;
const BOTTOM_PIXELS = 80;

/** Shows one history at a time. Signals are plain callbacks: `onRead` when the newest message is in sight. */
export class Log {
  #history = null;
  #options = {};
  #pending = [];
  #first = 0;
  #last = 0;
  #pinned = true;
  #missed = 0;
  #extending = false;
  #scroller = $("log");
  #list = $("messages");

  constructor({ onRead }) {
    this.onRead = onRead;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    $("to-newest").addEventListener("click", () => {
      this.toNewest();
      this.#scroller.focus({ preventScroll: true });
    });
    // Fonts, players and the composer's height change the room: who read the newest message goes on doing so.
    const resized = new ResizeObserver(() => this.#pinned && this.#toBottom());
    resized.observe(this.#list);
    resized.observe($("pending"));
    resized.observe(this.#scroller);
  }

  /** Whether the newest message is in sight. */
  get atNewest() {
    return this.#pinned;
  }

  /** Shows a history, its newest message in sight. `options` are messageElement's, with `unreadAfter`: the
   * sequence up to which all is read, null where nothing is unread. */
  show(history, options) {
    this.#history = history;
    this.#options = options;
    this.#missed = 0;
    this.#tail();
    this.#older();
    this.#button();
  }

  clear() {
    this.#history = null;
    this.#list.replaceChildren();
    $("pending").replaceChildren();
    $("older").textContent = "";
    this.#missed = 0;
    this.#button();
  }

  /** Shows a fault where the messages would be, with a way to try again. */
  showFault(fault, again) {
    this.clear();
    $("older").replaceChildren(
      el("span", { role: "alert", text: faultText(fault) }),
      " ",
      el("button", { type: "button", class: "quiet", text: t("again"), on: { click: again } }),
    );
  }

  showLoading() {
    this.clear();
    $("older").textContent = t("log.loading");
  }

  /** Messages were added at the history's end. */
  added(messages) {
    const own = messages.some((message) => message.clientToken);
    if (this.#last === messages[0].sequence - 1 || this.#list.children.length === 0) {
      this.#append(this.#history.last);
      if (this.#pinned || own) this.toNewest();
      else this.#missed += messages.length;
    } else if (own) this.toNewest();
    else this.#missed += messages.length;
    this.#button();
  }

  /** Texts that are not stored yet stand below the last message. */
  showPending(entries, actions) {
    const more = entries.length > this.#pending.length;
    this.#pending = entries;
    $("pending").replaceChildren(
      ...entries.map((entry) =>
        pendingElement(entry, { retry: () => actions.retry(entry), edit: () => actions.edit(entry) }),
      ),
    );
    if (more) this.toNewest();
  }

  toNewest() {
    if (!this.#history) return;
    if (this.#last !== this.#history.last) this.#tail();
    this.#pinned = true;
    this.#missed = 0;
    this.#toBottom();
    this.#button();
    this.onRead();
  }

  #tail() {
    const history = this.#history;
    this.#last = history.last;
    this.#first = Math.max(history.oldest, this.#last - STEP + 1);
    const nodes = [];
    for (let sequence = this.#first; sequence <= this.#last; sequence += 1) nodes.push(this.#node(sequence));
    this.#list.replaceChildren(...nodes.filter(Boolean));
    this.#edge();
    this.#pinned = true;
    this.#toBottom();
  }

  #node(sequence) {
    const message = this.#history.at(sequence);
    return (
      message &&
      messageElement(message, this.#history.at(sequence - 1), {
        ...this.#options,
        unreadBegins: this.#unreadBegins(sequence),
      })
    );
  }

  // At the customer's first message behind the mark, which may come into sight only when older ones are loaded.
  #unreadBegins(sequence) {
    const after = this.#options.unreadAfter ?? Infinity;
    const isCustomers = (place) => this.#history.at(place)?.sender === "CUSTOMER";
    if (sequence <= after || !isCustomers(sequence) || sequence - after > this.#history.messages.length) return false;
    for (let place = sequence - 1; place > after; place -= 1)
      if (!this.#history.at(place) || isCustomers(place)) return false;
    return true;
  }

  #toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    if (!this.#history) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const atEnd = this.#last === this.#history.last;
    const was = this.#pinned;
    this.#pinned = atEnd && scrollHeight - scrollTop - clientHeight < BOTTOM_PIXELS;
    if (this.#pinned && !was) {
      this.#missed = 0;
      this.onRead();
    }
    if (scrollTop < EDGE_PIXELS) this.#older();
    if (!atEnd && scrollHeight - scrollTop - clientHeight < EDGE_PIXELS) this.#newer();
    this.#button();
  }

  async #older() {
    const history = this.#history;
    if (this.#extending || !history) return;
    this.#extending = true;
    try {
      while (history === this.#history && this.#scroller.scrollTop < EDGE_PIXELS && !(this.#first <= 1)) {
        if (this.#first <= history.oldest && (await history.older()) === 0) break;
        if (history !== this.#history) break;
        this.#prepend(Math.max(history.oldest, this.#first - STEP));
        // One frame between two steps: a chat of ten thousand messages must not be swallowed in one go.
        await new Promise((done) => requestAnimationFrame(done));
      }
    } catch (fault) {
      if (history === this.#history)
        $("older").replaceChildren(
          el("span", { text: faultText(fault) }),
          " ",
          el("button", { type: "button", class: "quiet", text: t("again"), on: { click: () => this.#older() } }),
        );
    } finally {
      this.#extending = false;
    }
    if (history !== this.#history && this.#history) this.#older();
  }

  #prepend(first) {
    this.#kept(() => {
      // The first one shown knew of nothing above it: its day and name may go.
      const nodes = [];
      for (let sequence = first; sequence <= this.#first; sequence += 1) nodes.push(this.#node(sequence));
      this.#list.firstElementChild?.remove();
      this.#list.prepend(...nodes.filter(Boolean));
      this.#first = first;
      this.#last -= this.#letGo([...this.#list.children].reverse(), (node) => this.#isBelow(node));
    });
    this.#edge();
  }

  #newer() {
    this.#append(Math.min(this.#history.last, this.#last + STEP));
  }

  #append(last) {
    this.#kept(() => {
      const nodes = [];
      for (let sequence = this.#last + 1; sequence <= last; sequence += 1) nodes.push(this.#node(sequence));
      if (this.#list.children.length === 0) this.#first = this.#last + 1;
      this.#list.append(...nodes.filter(Boolean));
      this.#last = last;
      this.#first += this.#letGo([...this.#list.children], (node) => this.#pinned || this.#isAbove(node));
    });
    this.#edge();
  }

  /** Does `change` and puts what is being read back where it was. */
  #kept(change) {
    const top = this.#scroller.getBoundingClientRect().top;
    const seen = [...this.#list.children].find((node) => node.getBoundingClientRect().bottom > top);
    const sequence = seen?.dataset.sequence;
    // The bottom is what stays: a day or a name above the text may go with what comes before it.
    const before = seen?.getBoundingClientRect().bottom;
    const focused = document.activeElement?.closest?.("[data-sequence]")?.dataset.sequence;
    change();
    const after = sequence && this.#list.querySelector(`[data-sequence="${sequence}"]`);
    if (after) this.#scroller.scrollTop += after.getBoundingClientRect().bottom - before;
    if (focused && document.activeElement === document.body) this.#scroller.focus({ preventScroll: true });
  }

  /** Takes out the first of `nodes` that are too many and far from the reader; returns how many. */
  #letGo(nodes, isFar) {
    // All are measured before any goes: each measure after a change would lay the page out anew.
    const many = Math.max(0, nodes.length - MAX_SHOWN);
    const near = nodes.slice(0, many).findIndex((node) => !isFar(node));
    const gone = nodes.slice(0, near < 0 ? many : near);
    for (const node of gone) node.remove();
    return gone.length;
  }

  #isBelow(node) {
    return node.getBoundingClientRect().top > this.#scroller.getBoundingClientRect().bottom + EDGE_PIXELS;
  }

  #isAbove(node) {
    return node.getBoundingClientRect().bottom < this.#scroller.getBoundingClientRect().top - EDGE_PIXELS;
  }

  #edge() {
    const history = this.#history;
    $("older").textContent =
      this.#first > 1 ? t("log.loading") : history.messages.length === 0 ? t("log.empty") : t("log.beginning");
  }

  #button() {
    const button = $("to-newest");
    button.hidden = this.#pinned || !this.#history;
    button.lastElementChild.textContent = this.#missed > 0 ? many("log.missed", this.#missed) : t("log.newest");
  }
}
