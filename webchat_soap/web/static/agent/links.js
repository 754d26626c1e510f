// Web addresses in a text become links; everything else stays text.

import { el } from "./dom.js";

// Only http and https, and only where the text spells them out: what is shown is where it leads.
const ADDRESS = /https?:\/\/[^\s<>"'`{}|\\^\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;

// A sentence goes on behind an address: its stops and closing brackets are not part of it.
const TRAILING = /[.,;:!?…]+$/u;

/** The text's pieces as nodes. */
export function linked(text) {
  const nodes = [];
  let done = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = trimmed(found[0]);
    if (!leadsSomewhere(address)) continue;
    nodes.push(
      text.slice(done, found.index),
      el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", text: address }),
    );
    done = found.index + address.length;
  }
  nodes.push(text.slice(done));
  return nodes.filter((node) => node !== "");
}

function trimmed(address) {
  for (;;) {
    const shorter = address.replace(TRAILING, "");
    const closes = shorter.endsWith(")") && shorter.split(")").length > shorter.split("(").length;
    const next = closes ? shorter.slice(0, -1) : shorter;
    if (next === address) return address;
    address = next;
  }
}

function leadsSomewhere(address) {
  try {
    const url = new URL(address);
    return url.hostname !== "" && url.username === "" && url.password === "";
  } catch {
    return false;
  }
}
