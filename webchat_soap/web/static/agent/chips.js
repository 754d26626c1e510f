// The files above the composer's text: each a chip with its preview, name, size, progress, fault and buttons.

import { $, el, icon, tool } from "./dom.js";
import { faultText } from "./api.js";
import { guessedFamily } from "./limits.js";
import { bytes } from "./format.js";
import { t } from "./words.js";

/** Shows the uploads of one chat. */
export class Chips {
  #uploads;
  #chips = new Map();
  #chatId = null;
  #announce;

  constructor(uploads, announce) {
    this.#uploads = uploads;
    this.#announce = announce;
    uploads.on("changed", (chatId) => chatId === this.#chatId && this.#show());
    uploads.on("progress", (upload) => this.#progress(upload));
  }

  show(chatId) {
    this.#chatId = chatId;
    for (const token of [...this.#chips.keys()]) this.#remove(token);
    this.#show();
  }

  #show() {
    const uploads = this.#chatId === null ? [] : this.#uploads.of(this.#chatId);
    const tokens = new Set(uploads.map((upload) => upload.token));
    for (const token of [...this.#chips.keys()]) if (!tokens.has(token)) this.#remove(token);
    for (const upload of uploads) {
      if (!this.#chips.has(upload.token)) this.#chips.set(upload.token, this.#make(upload));
      this.#update(upload);
    }
    $("chips").hidden = uploads.length === 0;
  }

  #make(upload) {
    const chip = {
      preview: preview(upload),
      bar: el("progress", { max: 1, value: 0, "aria-label": t("chip.progress", { name: upload.name }) }),
      state: el("span", { class: "chip-state" }),
      retry: tool("retry", t("chip.retry", { name: upload.name }), () => this.#again(upload)),
      remove: tool("close", t("chip.remove", { name: upload.name }), () => this.#cancel(upload)),
    };
    chip.node = el(
      "li",
      { class: "chip", "data-token": upload.token },
      chip.preview.node,
      el(
        "span",
        { class: "chip-what" },
        el("bdi", { class: "chip-name", title: upload.name, text: upload.name }),
        el("span", { class: "chip-line" }, el("span", { class: "chip-size", text: bytes(upload.size) }), chip.state),
      ),
      chip.retry,
      chip.remove,
      chip.bar,
    );
    $("chips").append(chip.node);
    return chip;
  }

  #update(upload) {
    const chip = this.#chips.get(upload.token);
    const failed = ["failed", "refused"].includes(upload.state);
    const state = stateText(upload);
    chip.node.className = `chip ${upload.state}`;
    if (chip.state.textContent !== state) {
      chip.state.textContent = state;
      chip.state.title = state;
      if (failed) this.#announce(`${upload.name}: ${state}`);
    }
    chip.retry.hidden = !["failed", "waiting"].includes(upload.state);
    chip.bar.hidden = failed || upload.state === "ready";
    if (upload.state === "posting") chip.bar.removeAttribute("value");
    else chip.bar.value = share(upload);
  }

  #progress(upload) {
    const chip = this.#chips.get(upload.token);
    if (!chip) return;
    chip.bar.value = share(upload);
    if (upload.state === "uploading") chip.state.textContent = stateText(upload);
  }

  #again(upload) {
    this.#uploads.retry(upload.token);
    $("text").focus();
  }

  // Focus goes to the next chip's button, so that several can be taken away one after the other.
  #cancel(upload) {
    const chip = this.#chips.get(upload.token);
    const neighbour = chip.node.nextElementSibling ?? chip.node.previousElementSibling;
    this.#uploads.cancel(upload.token);
    (neighbour?.querySelector("button:last-of-type") ?? $("text")).focus();
  }

  #remove(token) {
    const chip = this.#chips.get(token);
    const focused = chip.node.contains(document.activeElement);
    if (chip.preview.url) URL.revokeObjectURL(chip.preview.url);
    chip.node.remove();
    this.#chips.delete(token);
    if (focused) $("text").focus();
  }
}

// Of an empty file all is there.
const share = ({ gone, size }) => (size === 0 ? 1 : gone / size);

function preview(upload) {
  const family = guessedFamily({ type: upload.type });
  if (family !== "IMAGE")
    return { node: el("span", { class: "chip-preview" }, icon((family ?? "DOCUMENT").toLowerCase())) };
  const url = URL.createObjectURL(upload.blob);
  const image = el("img", { src: url, alt: "", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(icon("image")), { once: true });
  return { node: el("span", { class: "chip-preview" }, image), url };
}

function stateText(upload) {
  const { state, fault } = upload;
  if (state === "failed" || state === "refused") return faultText(fault);
  if (state === "waiting") return t("chip.waiting", { why: faultText(fault) });
  if (state === "uploading") return t("chip.uploading", { percent: Math.floor(share(upload) * 100) });
  if (state === "posting" || upload.wanted) return t("chip.posting");
  return t(state === "ready" ? "chip.ready" : "chip.queued");
}
