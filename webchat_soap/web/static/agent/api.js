// Calls to the service. Paths are relative to the page, …/agent/.

import { has, t } from "./words.js";
import { Signals } from "./signals.js";
import { bytes } from "./format.js";

const TIMEOUT_MILLISECONDS = 30_000;

/** Who is signed in and what the service takes: GET session, once at the start. */
export const session = { agentName: document.querySelector("meta[name=agent-name]").content };

/** "lost": no session any more. "reached" and "unreached": whether the last call got to the service. */
export const link = new Signals();

let csrfToken = document.querySelector("meta[name=csrf-token]").content;

/** The service refused; `code`, `message` and the rest as it said them. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    Object.assign(this, error, { status, text: error.message });
  }
}

/** The service was not reached, or what answered was not the service. */
export class Unreached extends Error {}

/** What the service says of a fault, in the page's language where the catalogue knows its code. */
export function faultText(fault) {
  if (fault instanceof Unreached) return t("error.unreached");
  const numbers = fault.field === "maxFilesPerChat" ? (number) => number : bytes;
  const values = {
    message: fault.text ?? "",
    limit: fault.limit === undefined ? "" : numbers(fault.limit),
    actual: fault.actual === undefined ? "" : numbers(fault.actual),
    detected: fault.detectedType ?? "",
    seconds: fault.retryAfterSeconds ?? "",
  };
  const family = fault.text ? "error" : "local";
  const special = `${family}.${fault.code}.${fault.field ?? (fault.detectedType ? "" : "unknown")}`;
  if (has(special)) return t(special, values);
  const key = `${family}.${fault.code}`;
  return has(key) ? t(key, values) : (fault.text ?? t("error.unknown"));
}

/* What the page asks by itself keeps nobody signed in: a console left alone must end also where customers go on writing. */
const ATTENDED_MILLISECONDS = 60_000;
let touchedAt = Date.now();
for (const kind of ["keydown", "input", "pointerdown", "pointermove", "wheel", "touchmove", "drop", "paste"])
  addEventListener(kind, () => (touchedAt = Date.now()), { capture: true, passive: true });
const isUnattended = () => Date.now() - touchedAt > ATTENDED_MILLISECONDS;

/** What the service answers, parsed; throws Refused or Unreached. A 401 also emits "lost". A `quiet` call tells nothing
 * of the connection. */
export async function call(method, path, { json, signal, again = true, quiet = false } = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method,
      headers: {
        ...(json === undefined ? {} : { "Content-Type": "application/json" }),
        ...(method === "GET" ? {} : { "X-CSRF-Token": csrfToken }),
        ...(isUnattended() ? { "X-Unattended": "1" } : {}),
      },
      body: json === undefined ? undefined : JSON.stringify(json),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLISECONDS)].filter(Boolean)),
    });
    const answer = response.status === 204 ? null : await response.json();
    if (response.ok) {
      if (!quiet) link.emit("reached");
      return answer;
    }
    throw refusal(response.status, answer, { quiet });
  } catch (error) {
    if (error instanceof Refused) {
      // Another tab may have signed in anew: its token is ours too.
      if (error.code === "CsrfRefused" && again && (await renewed()))
        return call(method, path, { json, signal, again: false });
      throw error;
    }
    if (signal?.aborted) throw error;
    if (!quiet) link.emit("unreached");
    throw new Unreached(String(error));
  }
}

/** The fault in an answer; tells "lost" where it is a 401. */
export function refusal(status, answer, { quiet = false } = {}) {
  if (status === 401) link.emit("lost");
  else if (!quiet) link.emit("reached");
  return new Refused(status, answer?.error ?? { code: "Internal", message: "", retryable: status >= 500 });
}

/** The token that every change carries. */
export const csrf = () => csrfToken;

/** Takes the session's token anew; tells whether it is still this page's agent who is signed in. Where it is another
 * one, what this page sends would go out under the other's name: the session is lost, and Refused is thrown. */
export async function renewed() {
  const answer = await call("GET", "session");
  if (answer.agent.name !== session.agentName) throw refusal(401, { error: { code: "Unauthorized", message: "" } });
  csrfToken = answer.csrfToken;
  return true;
}

/** Fills `session`. */
export async function loadSession() {
  const answer = await call("GET", "session");
  csrfToken = answer.csrfToken;
  Object.assign(session, answer, { agentName: answer.agent.name });
  return session;
}

/** A chat's path below api/. "~" is in no CHATID, and keeps a browser from taking those of dots only for folders. */
export const chatPath = (chatId, rest = "") =>
  `chats/${/^\.\.?$/.test(chatId) ? "~" : ""}${encodeURIComponent(chatId)}${rest}`;

/** A token for one message, unguessable; crypto.randomUUID is missing where the page is not served over https. */
export function newToken() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** How long to wait before try number `attempt` (from 1): doubling up to half a minute, spread so that not all
 * pages come back in the same moment. */
export function pause(attempt, fault) {
  if (fault?.retryAfterSeconds) return fault.retryAfterSeconds * 1000 * (1 + Math.random() / 4);
  return Math.min(30_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2);
}
