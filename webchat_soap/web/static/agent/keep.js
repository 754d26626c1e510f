// What must outlive a reload: small things in localStorage, files in IndexedDB; each agent's apart from the others'.

import { session } from "./api.js";

const prefix = () => `webchat/${session.agentName}/`;

/** A kept value, or `missing` where there is none or no storage. */
export function recall(name, missing = null) {
  try {
    const text = localStorage.getItem(prefix() + name);
    return text === null ? missing : JSON.parse(text);
  } catch {
    return missing;
  }
}

/** Keeps a value; null takes it away. Tells whether it is kept: storage may be full or forbidden. */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(prefix() + name);
    else localStorage.setItem(prefix() + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** All kept values whose names begin with `start`, by the rest of their names. */
export function recallAll(start) {
  const found = new Map();
  try {
    for (let place = 0; place < localStorage.length; place += 1) {
      const name = localStorage.key(place);
      if (name.startsWith(prefix() + start))
        found.set(name.slice(prefix().length + start.length), JSON.parse(localStorage.getItem(name)));
    }
  } catch {
    // What can be read is returned.
  }
  return found;
}

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("webchat-agent", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("files", { keyPath: "token" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function inFiles(mode, work) {
  try {
    const transaction = (await database()).transaction("files", mode);
    const request = work(transaction.objectStore("files"));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } catch {
    // Private windows and full disks: the file lives as long as the page does.
    return undefined;
  }
}

/** Keeps a file's record: token, chatId, name, blob and what else tells how far it got. */
export const keepFile = (record) => inFiles("readwrite", (files) => files.put({ ...record, agent: session.agentName }));

export const dropFile = (token) => inFiles("readwrite", (files) => files.delete(token));

/** This agent's files. */
export async function keptFiles() {
  const all = (await inFiles("readonly", (files) => files.getAll())) ?? [];
  return all.filter((record) => record.agent === session.agentName);
}
