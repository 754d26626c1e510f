// Files on their way to the service: in pieces, two at a time, over reloads and broken connections, each sent once.
//
// A file goes up as soon as it is picked; it is posted to the chat only when the agent sends. Its token names it at the
// service all the way, so whatever is tried again finds what is there already.
//
//   queued → uploading → ready → posting → gone         waiting: the connection or the service is away for now
//                                                       failed: may be tried again     refused: never will be taken

import { call, chatPath, newToken, pause, Refused, renewed, session, Unreached } from "./api.js";
import { dropFile, keepFile, keptFiles } from "./keep.js";
import { localFault } from "./limits.js";
import { putPiece } from "./piece.js";
import { Naps, Signals } from "./signals.js";

const AT_ONCE = 2;
const MAX_TRIES = 5;
const HOPELESS = new Set([
  "FileTooLarge",
  "EmptyFile",
  "UnsupportedFileType",
  "FileTypeMismatch",
  "MalwareFound",
  "QuotaExceeded",
  "ChatEnded",
  "ChatNotFound",
]);

/** Emits "changed" with a CHATID and "posted" with a CHATID, the receipt and the upload. */
export class Uploads extends Signals {
  #all = new Map();
  #running = new Set();
  #naps = new Naps();
  #textsFirst;

  /** `textsFirst(chatId)` resolves when the chat's texts that were sent before are stored. */
  constructor(textsFirst) {
    super();
    this.#textsFirst = textsFirst;
  }

  /** Takes up what an earlier page left. */
  async restore() {
    for (const record of (await keptFiles()).sort((a, b) => a.at - b.at)) {
      if (!this.#all.has(record.token))
        this.#all.set(record.token, {
          ...record,
          state: record.fault ? "refused" : "queued",
          gone: 0,
          tries: 0,
          misses: 0,
          wakes: 0,
          resumed: true,
        });
      this.emit("changed", record.chatId);
    }
    this.#pump();
  }

  /** The chat's files in the order they were picked. */
  of(chatId) {
    return [...this.#all.values()].filter((upload) => upload.chatId === chatId);
  }

  /** Whether anything could be sent: files that are not sent yet and not refused. */
  sendable(chatId) {
    return this.of(chatId).some((upload) => !upload.wanted && upload.state !== "refused");
  }

  /** Takes picked, dropped or pasted files; what the limits refuse becomes a refused one, and nothing of it is sent. */
  add(chatId, files, usage) {
    for (const file of files) {
      const waiting = this.of(chatId).filter((upload) => upload.state !== "refused");
      const fault = localFault(file, usage, waiting);
      const upload = {
        token: newToken(),
        chatId,
        blob: file,
        name: file.name || "file",
        size: file.size,
        type: file.type,
        at: Date.now() + this.#all.size / 1000,
        wanted: false,
        fault,
        state: fault ? "refused" : "queued",
        gone: 0,
        tries: 0,
        misses: 0,
        wakes: 0,
      };
      this.#all.set(upload.token, upload);
      this.#keep(upload);
    }
    this.emit("changed", chatId);
    this.#pump();
  }

  /** Sends the chat's files: each is posted as soon as all of it is there. */
  send(chatId) {
    for (const upload of this.of(chatId)) {
      if (upload.wanted || upload.state === "refused") continue;
      upload.wanted = true;
      if (upload.state === "ready") upload.state = "queued";
      this.#keep(upload);
    }
    this.emit("changed", chatId);
    this.#pump();
  }

  /** Takes a file back, here and at the service. */
  cancel(token) {
    const upload = this.#all.get(token);
    if (!upload) return;
    upload.canceled = true;
    upload.abort?.abort();
    this.#forget(upload);
    if (upload.started || upload.resumed) call("DELETE", this.#path(upload)).catch(() => {});
  }

  /** The service has the file: another tab of this agent's may have sent it. */
  stored(token) {
    const upload = this.#all.get(token);
    if (!upload) return;
    upload.canceled = true;
    // The post's own answer is most likely just behind, and breaking it off would cost a connection.
    if (upload.state !== "posting") upload.abort?.abort();
    this.#forget(upload);
  }

  retry(token) {
    const upload = this.#all.get(token);
    if (!upload || !["failed", "waiting"].includes(upload.state)) return;
    upload.fault = null;
    upload.tries = 0;
    if (upload.state === "failed") upload.state = "queued";
    this.emit("changed", upload.chatId);
    this.kick();
    this.#pump();
  }

  /** The connection is back: nobody waits any longer. */
  kick() {
    this.#naps.wake();
  }

  #path(upload, rest = "") {
    return chatPath(upload.chatId, `/uploads/${upload.token}${rest}`);
  }

  #keep(upload) {
    const { token, chatId, blob, name, size, type, at, wanted, posting } = upload;
    keepFile({
      token,
      chatId,
      blob,
      name,
      size,
      type,
      at,
      wanted,
      posting,
      fault: upload.state === "refused" ? plain(upload.fault) : null,
    });
  }

  #forget(upload) {
    this.#all.delete(upload.token);
    dropFile(upload.token);
    this.emit("changed", upload.chatId);
  }

  #pump() {
    for (const upload of this.#all.values()) {
      // Who is ready waits for the texts before it, which may take long: that is no reason to hold up other chats.
      if ([...this.#running].filter(({ state }) => state !== "ready").length >= AT_ONCE) return;
      if (upload.state !== "queued" || this.#running.has(upload)) continue;
      this.#running.add(upload);
      // What is taken out while it waits for another try takes no other file's place.
      Promise.race([this.#run(upload), this.#removed(upload)]).finally(() => {
        this.#running.delete(upload);
        this.#pump();
      });
    }
  }

  #removed(upload) {
    return this.until("changed", () => !this.#all.has(upload.token));
  }

  async #run(upload) {
    while (!upload.canceled) {
      try {
        await this.#send(upload);
        return;
      } catch (fault) {
        if (upload.canceled) return;
        if (!(await this.#again(upload, fault))) return;
      }
    }
  }

  /** After a fault: waits and tells true where another try makes sense, else leaves the file failed or refused. */
  async #again(upload, fault) {
    upload.tries += 1;
    // How much is there is asked for anew: the service may have lost it, too.
    upload.resumed = true;
    upload.complete = false;
    const refused = fault instanceof Refused;
    const wait =
      !refused || fault.status === 401 || (fault.retryable && (upload.tries < MAX_TRIES || fault.retryAfterSeconds));
    const elsewhere = refused && fault.code === "WrongOffset" && upload.tries < MAX_TRIES;
    if (!(fault instanceof Unreached) && !refused) console.error(fault);
    upload.fault = fault;
    upload.state = wait || elsewhere ? "waiting" : refused && HOPELESS.has(fault.code) ? "refused" : "failed";
    if (upload.state === "refused") {
      this.#keep(upload);
      call("DELETE", this.#path(upload)).catch(() => {});
    }
    this.emit("changed", upload.chatId);
    if (!wait && !elsewhere) return false;
    upload.misses = upload.wakes === this.#naps.wakes ? upload.misses + 1 : 1;
    upload.wakes = this.#naps.wakes;
    if (!elsewhere) await this.#naps.nap(pause(upload.misses, fault));
    return true;
  }

  async #send(upload) {
    upload.state = "uploading";
    upload.abort = new AbortController();
    this.emit("changed", upload.chatId);
    // A page that was closed between the post and its receipt: the same post tells whether it is done.
    if (!(upload.posting && (await this.#tryPost(upload)))) {
      if (!upload.complete) await this.#pieces(upload);
      upload.complete = true;
      upload.state = "ready";
      upload.fault = null;
      this.emit("changed", upload.chatId);
      if (!upload.wanted) return;
      this.#pump();
      await this.#post(upload);
    }
  }

  async #pieces(upload) {
    const { signal } = upload.abort;
    let offset = upload.resumed ? (await call("GET", this.#path(upload), { signal })).offset : 0;
    upload.started = true;
    while (offset < upload.size) {
      this.#progress(upload, offset);
      const piece = upload.blob.slice(offset, offset + session.pieceBytes);
      const asked = new URLSearchParams({ offset, size: upload.size, name: upload.name });
      const before = offset;
      const put = () =>
        putPiece(`${this.#path(upload)}?${asked}`, piece, {
          signal,
          progress: (gone) => this.#progress(upload, before + gone),
        });
      const answer = await put().catch(async (fault) => {
        // Another tab may have signed in anew.
        if (fault.code === "CsrfRefused" && (await renewed())) return put();
        throw fault;
      });
      offset = answer.offset;
      upload.tries = 0;
      upload.misses = 0;
    }
    this.#progress(upload, upload.size);
  }

  #progress(upload, gone) {
    upload.gone = Math.min(gone, upload.size);
    this.emit("progress", upload);
  }

  async #tryPost(upload) {
    try {
      await this.#post(upload);
      return true;
    } catch (fault) {
      if (fault instanceof Unreached || upload.canceled) throw fault;
      return false;
    }
  }

  /** Resolves when no file that was picked before this one is about to be posted: they arrive in their order, but a
   * small one does not wait for a large one that is still on its way. */
  async #earlierFirst(upload) {
    const isEarlier = (other) =>
      other.at < upload.at &&
      other.wanted &&
      other.complete &&
      ["queued", "uploading", "ready", "posting"].includes(other.state);
    await this.until("changed", () => !this.of(upload.chatId).some(isEarlier));
  }

  async #post(upload) {
    await this.#textsFirst(upload.chatId);
    await this.#earlierFirst(upload);
    if (upload.canceled) return;
    upload.state = "posting";
    upload.posting = true;
    this.#keep(upload);
    this.emit("changed", upload.chatId);
    const receipt = await call("POST", this.#path(upload, "/post"), {
      json: { fileName: upload.name },
      signal: upload.abort.signal,
    });
    if (!upload.canceled) this.#forget(upload);
    this.emit("posted", upload.chatId, receipt, upload);
  }
}

// What IndexedDB can keep of a fault.
const plain = ({ code, text, limit, actual, field, detectedType }) => ({
  code,
  text,
  limit,
  actual,
  field,
  detectedType,
});
