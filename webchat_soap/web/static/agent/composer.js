// Where the agent writes: the text with its draft, the attach sign, and what comes in by picker, drop and paste.
//
// Text and files that are sent together go as messages of their own, the text first: a file that fails takes nothing
// with it, and the customer reads the words before the pictures that they are about.

import { $ } from "./dom.js";
import { session } from "./api.js";
import { codePoints } from "./format.js";
import { keep, recall } from "./keep.js";
import { limitsText } from "./limits.js";
import { debounced } from "./signals.js";
import { many, t } from "./words.js";

const DRAFT_MILLISECONDS = 150;
const MAX_LINES_PIXELS = 220;

/** The composer of one chat at a time. `usage()` tells what the chat holds already. */
export class Composer {
  #chatId = null;
  #outbox;
  #uploads;
  #usage;
  #text = $("text");
  #touched = false;
  #dragDepth = 0;

  constructor({ outbox, uploads, usage }) {
    this.#outbox = outbox;
    this.#uploads = uploads;
    this.#usage = usage;
    const later = debounced(() => this.keepDraft(), DRAFT_MILLISECONDS);
    this.#text.addEventListener("input", () => {
      this.#touched = true;
      this.#changed();
      later();
    });
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("paste", (event) => this.#paste(event));
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    $("attach").addEventListener("click", () => this.attach());
    $("files").addEventListener("change", () => {
      this.#add([...$("files").files]);
      $("files").value = "";
    });
    this.#takeDrops();
    uploads.on("changed", () => this.#changed());
    // Both: a phone that puts the page away never says goodbye otherwise.
    addEventListener("pagehide", () => this.keepDraft());
    document.addEventListener("visibilitychange", () => this.keepDraft());
    // The same chat in another tab: one draft, whichever it is written in.
    addEventListener("storage", () => this.#takeDraft());
  }

  /** Writes for this chat from now on; null: for none. */
  show(chatId) {
    this.keepDraft();
    this.#chatId = chatId;
    this.#text.value = chatId === null ? "" : this.#kept();
    $("limits").textContent = limitsText();
    document.querySelector(".drop-limits").textContent = limitsText();
    this.#changed();
  }

  focus() {
    this.#text.focus();
  }

  attach() {
    if (!$("composer").hidden) $("files").click();
  }

  /** What is written and not sent. */
  get draft() {
    return this.#text.value;
  }

  /** Puts a text that could not be sent back; what is being written stays behind it. */
  putBack(text) {
    this.#text.value = [text, this.#text.value].filter(Boolean).join("\n");
    this.#touched = true;
    this.#changed();
    this.keepDraft();
    this.focus();
  }

  /** Keeps what was written here; what was not touched may be older than what another tab has kept. */
  keepDraft() {
    if (this.#chatId === null || !this.#touched) return;
    this.#touched = !keep(`draft/${this.#chatId}`, this.#text.value === "" ? null : this.#text.value);
  }

  #kept() {
    return recall(`draft/${this.#chatId}`, "");
  }

  #takeDraft() {
    if (this.#chatId === null || this.#touched || this.#text.value === this.#kept()) return;
    this.#text.value = this.#kept();
    this.#changed();
  }

  #changed() {
    // field-sizing does this by itself where the browser knows it.
    if (!CSS.supports("field-sizing", "content")) {
      this.#text.style.height = "auto";
      this.#text.style.height = `${Math.min(this.#text.scrollHeight, MAX_LINES_PIXELS)}px`;
    }
    const over = codePoints(this.#text.value.trim()) - session.limits.maxTextLength;
    const note = over > 0 ? many("composer.too-long", over) : over > -200 ? many("composer.left", -over) : "";
    if ($("composer-note").textContent !== note) $("composer-note").textContent = note;
    $("composer-note").classList.toggle("over", over > 0);
    $("send").setAttribute("aria-disabled", String(!this.#sendable()));
  }

  #sendable() {
    const text = this.#text.value.trim();
    if (this.#chatId === null || codePoints(text) > session.limits.maxTextLength) return false;
    return text !== "" || this.#uploads.sendable(this.#chatId);
  }

  #send() {
    if (!this.#sendable()) return;
    const chatId = this.#chatId;
    const text = this.#text.value.trim();
    // Into the outbox first, out of the draft then: at no moment is it in neither.
    if (text !== "") this.#outbox.add(chatId, text);
    this.#uploads.send(chatId);
    this.#text.value = "";
    this.#touched = true;
    this.keepDraft();
    this.#changed();
    this.focus();
  }

  #key(event) {
    // While an input method composes, Enter takes its suggestion (229: so do browsers that say it late).
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    if (event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#send();
  }

  #paste(event) {
    const { files, types } = event.clipboardData;
    // Spreadsheets and word processors paste a picture of the text beside the text itself.
    if (files.length === 0 || types.includes("text/html")) return;
    event.preventDefault();
    this.#add([...files].map(named));
  }

  #takeDrops() {
    const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");
    const overlay = $("drop");
    const end = () => {
      this.#dragDepth = 0;
      overlay.hidden = true;
    };
    addEventListener("dragenter", (event) => {
      if (!bringsFiles(event)) return;
      event.preventDefault();
      this.#dragDepth += 1;
      overlay.hidden = this.#chatId === null;
    });
    addEventListener("dragleave", (event) => {
      if (!bringsFiles(event)) return;
      this.#dragDepth -= 1;
      if (this.#dragDepth <= 0) end();
    });
    addEventListener("dragover", (event) => {
      if (!bringsFiles(event)) return;
      // Wherever a file is let go, the browser must not leave the page for it.
      event.preventDefault();
      event.dataTransfer.dropEffect = this.#chatId === null ? "none" : "copy";
    });
    addEventListener("drop", (event) => {
      if (!bringsFiles(event)) return;
      event.preventDefault();
      end();
      const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
      const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
      this.#add(items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()));
      if (folders.length > 0) $("composer-note").textContent = t("drop.no-folders");
    });
  }

  #add(files) {
    if (this.#chatId === null || files.length === 0) return;
    this.#uploads.add(this.#chatId, files, this.#usage());
    this.focus();
  }
}

// Every pasted picture is called image.png: a day and a time tell them apart.
function named(file) {
  if (file.name !== "image.png") return file;
  const stamp = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000)
    .toISOString()
    .slice(0, 19)
    .replace("T", " ")
    .replaceAll(":", ".");
  return new File([file], t("paste.name", { stamp }), { type: file.type });
}
