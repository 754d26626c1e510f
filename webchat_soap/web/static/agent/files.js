// Files in the log. Every box has its size before its bytes come, so that nothing above or below it moves.

import { el, icon, tool } from "./dom.js";
import { bytes, length } from "./format.js";
import { t } from "./words.js";

const MAX_WIDTH = 320;
const MAX_HEIGHT = 260;
const MIN_SIDE = 48;
const NO_SIZE = { width: 240, height: 180 };

// Sound and video ask for their length only when they come near: each holds one of the browser's six connections.
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      target.preload = "metadata";
    }
  },
  { rootMargin: "300px" },
);

/** A stored file as an element. `open.picture(file, message)` and `open.paper(file)` show it larger. */
export function fileElement(file, message, open) {
  if (file.removedAt)
    return el(
      "div",
      { class: "file removed" },
      icon("document"),
      el("span", { text: t("file.removed", { name: file.originalFileName }) }),
    );
  if (file.fileType === "IMAGE") return picture(file, message, open);
  if (file.fileType === "AUDIO" || file.fileType === "VIDEO") return player(file);
  return paper(file, open);
}

function picture(file, message, open) {
  const size = fitted(file, MAX_WIDTH, MAX_HEIGHT);
  const image = el("img", {
    src: file.thumbnailUrl ?? file.fileUrl,
    alt: file.originalFileName,
    width: size.width,
    height: size.height,
    loading: "lazy",
    decoding: "async",
  });
  const button = el(
    "button",
    {
      type: "button",
      class: "thumb",
      "aria-label": t("file.open-picture", { name: file.originalFileName }),
      style: { width: `${size.width}px`, "aspect-ratio": `${size.width} / ${size.height}` },
      on: { click: () => open.picture(file, message) },
    },
    image,
  );
  const box = el("figure", { class: "file picture" }, button, caption(file));
  // HEIC and TIFF: the browser shows them not at all. The box keeps its size and says so.
  image.addEventListener("error", () => button.replaceWith(unshown(size, "image")), { once: true });
  return box;
}

/** Width and height in pixels that a picture is shown with, never larger than it is. */
function fitted(file, maxWidth, maxHeight) {
  if (!file.width || !file.height) return NO_SIZE;
  const scale = Math.min(1, maxWidth / file.width, maxHeight / file.height);
  return {
    width: Math.max(MIN_SIDE, Math.round(file.width * scale)),
    height: Math.max(MIN_SIDE, Math.round(file.height * scale)),
  };
}

function unshown(size, name) {
  return el(
    "div",
    { class: "unshown", style: { width: `${Math.max(size.width, 200)}px`, height: `${size.height}px` } },
    icon(name),
    el("span", { text: t("file.unshown") }),
  );
}

function player(file) {
  const video = file.fileType === "VIDEO";
  const size = video ? fitted(large(file), MAX_WIDTH + 40, MAX_HEIGHT) : { width: MAX_WIDTH, height: 54 };
  const known = el("span", {
    class: "file-length",
    text: file.durationMilliseconds ? length(file.durationMilliseconds) : "",
  });
  const media = el(video ? "video" : "audio", {
    src: file.fileUrl,
    controls: true,
    preload: "none",
    playsinline: video,
    "aria-label": t(video ? "file.video" : "file.audio", { name: file.originalFileName }),
    style: video ? { width: `${size.width}px`, height: `${size.height}px` } : {},
  });
  media.addEventListener("loadedmetadata", () => {
    if (Number.isFinite(media.duration)) known.textContent = length(media.duration * 1000);
  });
  // AVI, AMR and what else no browser plays.
  media.addEventListener("error", () => media.replaceWith(unshown(size, video ? "video" : "audio")), { once: true });
  near.observe(media);
  return el("figure", { class: `file ${video ? "video" : "audio"}` }, media, caption(file, known));
}

/** A video's size, made so large that its controls have room. */
function large({ width, height }) {
  if (!width || !height) return { width: 1280, height: 720 };
  const scale = Math.max(1, (MAX_WIDTH - 20) / width);
  return { width: width * scale, height: height * scale };
}

function paper(file, open) {
  const pdf = file.contentType === "application/pdf";
  const more = pdf
    ? [
        tool("beside", t("file.beside", { name: file.originalFileName }), () => open.paper(file)),
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
      ]
    : [];
  return el(
    "div",
    { class: "file paper" },
    el("span", { class: "paper-kind", "aria-hidden": "true", text: kind(file) }),
    el(
      "span",
      { class: "paper-what" },
      el("bdi", { class: "file-name", title: file.originalFileName, text: file.originalFileName }),
      el("span", { class: "file-size", text: `${kind(file)} · ${bytes(file.size)}` }),
    ),
    ...more,
    downloadLink(file),
  );
}

function caption(file, ...more) {
  return el(
    "figcaption",
    {},
    el("bdi", { class: "file-name", title: file.originalFileName, text: file.originalFileName }),
    ...more,
    el("span", { class: "file-size", text: bytes(file.size) }),
    downloadLink(file),
  );
}

/** One click saves the file under the name that its sender gave it. */
export function downloadLink(file) {
  const label = t("file.download", { name: file.originalFileName });
  return el(
    "a",
    { class: "tool", href: file.fileUrl, download: file.originalFileName, "aria-label": label, title: label },
    icon("download"),
  );
}

// The stored name's extension is taken from the proved type: shorter than the media type, and as true.
const kind = (file) => file.fileName.slice(file.fileName.lastIndexOf(".") + 1).toUpperCase();
