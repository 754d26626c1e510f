// The list of chats at the left: rows that are kept and moved, never all made anew.

import { $, el, face, icon } from "./dom.js";
import { debounced } from "./signals.js";
import { faultText, session } from "./api.js";
import { many, t } from "./words.js";
import { timeElement } from "./format.js";

const SEARCH_MILLISECONDS = 250;

/** Shows `chats`; `selected()` tells the CHATID that is looked at. */
export class List {
  #rows = new Map();
  #chats;
  #selected;

  constructor(chats, selected) {
    this.#chats = chats;
    this.#selected = selected;
    chats.on("changed", () => this.show());
    $("show-open").addEventListener("click", () => chats.choose({ status: "open" }));
    $("show-ended").addEventListener("click", () => chats.choose({ status: "ended" }));
    $("more-chats").addEventListener("click", () => chats.loadMore());
    $("search").addEventListener(
      "input",
      debounced(() => this.#search(), SEARCH_MILLISECONDS),
    );
    $("search").addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.#focusFirst(event);
      if (event.key === "Enter") this.#openFirst(event);
    });
    // Pages load themselves when the end of the list comes near; the button is for who cannot scroll.
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && chats.loadMore(), {
      root: $("rows"),
      rootMargin: "400px",
    }).observe($("more-chats"));
  }

  /** The CHATID `steps` below the selected one (above where negative), or null at the end. */
  neighbour(steps) {
    const order = this.#chats.ordered().map((chat) => chat.CHATID);
    const place = order.indexOf(this.#selected());
    if (place < 0) return (steps > 0 ? order[0] : order.at(-1)) ?? null;
    return order[place + steps] ?? null;
  }

  /** The first chat with something unread besides the selected one, or null. */
  nextUnread() {
    return this.#chats.ordered().find((chat) => chat.unread > 0 && chat.CHATID !== this.#selected())?.CHATID ?? null;
  }

  focus(chatId) {
    this.#rows.get(chatId)?.link.focus();
  }

  reveal(chatId) {
    this.#rows.get(chatId)?.node.scrollIntoView({ block: "nearest" });
  }

  show() {
    const chats = this.#chats;
    const order = chats.ordered();
    const list = $("chats");
    const focused = document.activeElement;
    for (const [chatId, row] of this.#rows) {
      if (order.some((chat) => chat.CHATID === chatId)) continue;
      row.node.remove();
      this.#rows.delete(chatId);
    }
    order.forEach((chat, place) => {
      const row = this.#row(chat);
      if (list.children[place] !== row.node) list.insertBefore(row.node, list.children[place] ?? null);
    });
    // Moving an element takes the focus from it.
    if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });

    $("open-count").textContent = chats.counts.open > 0 ? String(chats.counts.open) : "";
    for (const status of ["open", "ended"])
      $(`show-${status}`).setAttribute("aria-pressed", String(chats.status === status));
    $("more-chats").hidden = !chats.more;
    const note = this.#note(order.length);
    if ($("rows-note").textContent !== note) $("rows-note").textContent = note;
  }

  #note(count) {
    const { fault, loading, query, searchedAll, status } = this.#chats;
    if (fault) return faultText(fault);
    if (loading && count === 0) return t("list.loading");
    if (query && count === 0) return searchedAll ? t("search.none") : t("search.none-so-far");
    if (query) return searchedAll ? many("search.found", count) : t("search.not-all");
    if (count === 0) return t(`list.empty.${status}`);
    return "";
  }

  #row(chat) {
    const selected = chat.CHATID === this.#selected();
    let row = this.#rows.get(chat.CHATID);
    if (row && row.chat === chat && row.selected === selected) return row;
    if (!row) {
      row = { node: el("li") };
      this.#rows.set(chat.CHATID, row);
      row.link = el("a", { class: "row", href: `#/chat/${encodeURIComponent(chat.CHATID)}` });
      row.node.append(row.link);
    }
    row.chat = chat;
    row.selected = selected;
    row.link.classList.toggle("unread", chat.unread > 0);
    if (selected) row.link.setAttribute("aria-current", "true");
    else row.link.removeAttribute("aria-current");
    row.link.replaceChildren(...content(chat));
    return row;
  }

  #focusFirst(event) {
    const first = $("chats").querySelector("a");
    if (!first) return;
    event.preventDefault();
    first.focus();
  }

  /** Resolves when the list is what the field asks for. */
  #search() {
    const query = $("search").value.trim();
    if (query === this.#chats.query) return this.#chats.settled();
    return this.#chats.choose({ query });
  }

  async #openFirst(event) {
    event.preventDefault();
    // Not the first of what was found before: the answer would go to somebody else.
    const asked = $("search").value;
    await this.#search();
    if (!this.#chats.fault && $("search").value === asked && document.activeElement === $("search"))
      $("chats").querySelector("a")?.click();
  }
}

/** What a chat is called: the customer's name, or its CHATID. */
export const nameOf = (chat) => chat.customerName ?? chat.CHATID;

/** A face for a chat. */
export function faceOf(chat) {
  const { letters, hue } = face(nameOf(chat));
  return el("span", { class: "face", "aria-hidden": "true", text: letters, style: { "--hue": hue } });
}

function content(chat) {
  const badge =
    chat.unread > 0
      ? el(
          "span",
          { class: "badge" },
          el("span", { "aria-hidden": "true", text: chat.unread > 99 ? "99+" : String(chat.unread) }),
          el("span", { class: "hidden", text: many("list.unread", chat.unread) }),
        )
      : null;
  return [
    faceOf(chat),
    el(
      "span",
      { class: "row-main" },
      el(
        "span",
        { class: "row-line" },
        el("bdi", { class: "row-name", text: nameOf(chat) }),
        timeElement(chat.lastSentAt ?? chat.startedAt, { row: true }),
      ),
      el("span", { class: "row-line" }, excerpt(chat), badge),
    ),
  ];
}

function excerpt(chat) {
  if (chat.match) return el("span", { class: "row-text match", dir: "auto", text: chat.match });
  const last = chat.lastMessage;
  if (!last) return el("span", { class: "row-text", text: t("list.no-message") });
  const who = last.sender !== "AGENT" ? null : last.agentName === session.agentName ? t("list.you") : last.agentName;
  const file = last.file?.[0];
  return el(
    "span",
    { class: "row-text" },
    who ? el("bdi", { class: "row-who", text: `${who}: ` }) : null,
    file ? icon(file.fileType.toLowerCase()) : null,
    el("bdi", { text: last.text ? last.text.replace(/\s+/g, " ") : (file?.originalFileName ?? "") }),
  );
}
