// One piece of a file on its way, with its progress: fetch cannot tell how much of a body has gone out.

import { csrf, link, refusal, Unreached } from "./api.js";

// A piece is half a megabyte: slower than this is no connection.
const TIMEOUT_MILLISECONDS = 120_000;

/** Sends a piece by PUT; resolves to the answer, throws Refused or Unreached. `progress` gets the bytes gone out. */
export function putPiece(path, piece, { progress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const unreached = () => {
      if (!signal.aborted) link.emit("unreached");
      reject(new Unreached(path));
    };
    request.open("PUT", `api/${path}`);
    request.setRequestHeader("X-CSRF-Token", csrf());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.timeout = TIMEOUT_MILLISECONDS;
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response) {
        link.emit("reached");
        resolve(request.response);
      } else if (request.status >= 400 && request.response?.error) reject(refusal(request.status, request.response));
      else unreached();
    });
    for (const end of ["error", "timeout", "abort"]) request.addEventListener(end, unreached);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (signal.aborted) unreached();
    else request.send(piece);
  });
}
