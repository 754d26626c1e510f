// A picture in full, with zoom and the chat's other pictures beside it; a PDF in a panel beside the messages.

import { $, el, icon, tool } from "./dom.js";
import { bytes } from "./format.js";
import { downloadLink } from "./files.js";
import { t } from "./words.js";

const MIN_SCALE = 1;
const MAX_SCALE = 8;
const STEP = 1.4;
const PAN_PIXELS = 80;

/** The dialog that shows one picture of a list in full. */
export class Viewer {
  #dialog = $("viewer");
  #pictures = [];
  #place = 0;
  #scale = 1;
  #x = 0;
  #y = 0;

  constructor() {
    this.#image = el("img", { class: "viewer-image", draggable: "false" });
    this.#stage = el("div", { class: "viewer-stage" }, this.#image);
    this.#name = el("h2", { id: "viewer-name", class: "viewer-name", dir: "auto" });
    this.#about = el("p", { class: "viewer-about", role: "status" });
    this.#download = el("span");
    this.#previous = tool("back", t("viewer.previous"), () => this.#go(-1), { class: "tool viewer-side" });
    this.#next = tool("next", t("viewer.next"), () => this.#go(1), { class: "tool viewer-side" });
    this.#dialog.append(
      el(
        "header",
        { class: "viewer-top" },
        el("div", { class: "viewer-what" }, this.#name, this.#about),
        tool("minus", t("viewer.smaller"), () => this.#zoom(1 / STEP)),
        tool("plus", t("viewer.larger"), () => this.#zoom(STEP)),
        tool("fit", t("viewer.fit"), () => this.#fit()),
        this.#download,
        tool("close", t("close"), () => this.#dialog.close(), { autofocus: true }),
      ),
      el("div", { class: "viewer-middle" }, this.#previous, this.#stage, this.#next),
    );
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#dialog.addEventListener("close", () => this.#image.removeAttribute("src"));
    this.#stage.addEventListener("click", (event) => event.target === this.#stage && this.#dialog.close());
    this.#stage.addEventListener(
      "dblclick",
      (event) => event.target === this.#image && (this.#scale > 1 ? this.#fit() : this.#zoom(2.5)),
    );
    this.#stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#drag();
  }

  #image;
  #stage;
  #name;
  #about;
  #download;
  #previous;
  #next;

  /** Opens at `place` of `pictures`, StoredFiles. */
  show(pictures, place) {
    this.#pictures = pictures;
    this.#place = place;
    this.#load();
    this.#dialog.showModal();
  }

  #load() {
    const file = this.#pictures[this.#place];
    this.#image.src = file.fileUrl;
    this.#image.alt = file.originalFileName;
    this.#name.textContent = file.originalFileName;
    this.#previous.setAttribute("aria-disabled", String(this.#place === 0));
    this.#next.setAttribute("aria-disabled", String(this.#place === this.#pictures.length - 1));
    this.#previous.hidden = this.#next.hidden = this.#pictures.length < 2;
    this.#download.replaceChildren(downloadLink(file));
    this.#fit();
  }

  #go(steps) {
    const place = this.#place + steps;
    if (place < 0 || place >= this.#pictures.length) return;
    this.#place = place;
    this.#load();
  }

  #fit() {
    this.#scale = 1;
    this.#x = this.#y = 0;
    this.#apply();
  }

  #zoom(factor) {
    this.#scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.#scale * factor));
    if (this.#scale < 1.01) this.#fit();
    else this.#apply();
  }

  #pan(x, y) {
    this.#x += x;
    this.#y += y;
    this.#apply();
  }

  #apply() {
    // Not further than its own edge: a picture that was dragged away would be lost.
    const room = { x: (this.#image.clientWidth * this.#scale) / 2, y: (this.#image.clientHeight * this.#scale) / 2 };
    this.#x = Math.max(-room.x, Math.min(room.x, this.#x));
    this.#y = Math.max(-room.y, Math.min(room.y, this.#y));
    this.#image.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    this.#stage.classList.toggle("zoomed", this.#scale > 1);
    const file = this.#pictures[this.#place];
    const size = file.width && file.height ? `${file.width} × ${file.height} · ` : "";
    this.#about.textContent = t("viewer.about", {
      place: this.#place + 1,
      count: this.#pictures.length,
      size: size + bytes(file.size),
      percent: Math.round(this.#scale * 100),
    });
  }

  #key(event) {
    const zoomed = this.#scale > 1;
    const actions = {
      ArrowLeft: () => (zoomed ? this.#pan(PAN_PIXELS, 0) : this.#go(-1)),
      ArrowRight: () => (zoomed ? this.#pan(-PAN_PIXELS, 0) : this.#go(1)),
      ArrowUp: () => zoomed && this.#pan(0, PAN_PIXELS),
      ArrowDown: () => zoomed && this.#pan(0, -PAN_PIXELS),
      PageUp: () => this.#go(-1),
      PageDown: () => this.#go(1),
      "+": () => this.#zoom(STEP),
      "=": () => this.#zoom(STEP),
      "-": () => this.#zoom(1 / STEP),
      0: () => this.#fit(),
    };
    if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  }

  #wheel(event) {
    event.preventDefault();
    this.#zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }

  #drag() {
    let from = null;
    this.#stage.addEventListener("pointerdown", (event) => {
      if (this.#scale === 1 || event.button !== 0) return;
      from = { x: event.clientX, y: event.clientY };
      this.#stage.setPointerCapture(event.pointerId);
    });
    this.#stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      this.#pan(event.clientX - from.x, event.clientY - from.y);
      from = { x: event.clientX, y: event.clientY };
    });
    for (const end of ["pointerup", "pointercancel"]) this.#stage.addEventListener(end, () => (from = null));
  }
}

/** The panel beside the messages; over them where the window is narrow. */
export class Panel {
  #panel = $("panel");
  #before = null;

  constructor() {
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
  }

  get open() {
    return !this.#panel.hidden;
  }

  /** Shows a PDF; the browser's own viewer does the rest. */
  show(file) {
    this.#before = document.activeElement;
    const close = tool("close", t("panel.close"), () => this.close());
    this.#panel.replaceChildren(
      el(
        "header",
        { class: "panel-top" },
        icon("document"),
        el("h2", { dir: "auto", text: file.originalFileName }),
        el(
          "a",
          {
            class: "tool",
            href: file.fileUrl,
            target: "_blank",
            rel: "noopener",
            "aria-label": t("file.tab", { name: file.originalFileName }),
            title: t("file.tab", { name: file.originalFileName }),
          },
          icon("outside"),
        ),
        downloadLink(file),
        close,
      ),
      el("iframe", { src: file.fileUrl, title: file.originalFileName }),
    );
    this.#panel.hidden = false;
    $("app").classList.add("with-panel");
    close.focus();
  }

  close() {
    if (this.#panel.hidden) return;
    this.#panel.hidden = true;
    this.#panel.replaceChildren();
    $("app").classList.remove("with-panel");
    (this.#before?.isConnected ? this.#before : $("log")).focus();
  }
}
