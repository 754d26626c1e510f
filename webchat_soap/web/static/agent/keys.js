// The keyboard: every key once, as it is pressed and as it is told under "?".

import { showKeys } from "./dialogs.js";
import { singleKeys } from "./settings.js";
import { t } from "./words.js";

// `key`: alone, outside of fields, where single keys are on. `alt`: with Alt, everywhere. `code` names the key of a
// letter by its place, since Alt makes other signs of letters on some keyboards.
const KEYS = [
  { does: "next", key: "j", alt: "ArrowDown" },
  { does: "previous", key: "k", alt: "ArrowUp" },
  { does: "unread", key: "n", alt: "KeyN" },
  { does: "search", key: "/", alt: "KeyS" },
  { does: "filter", key: "f", alt: "KeyO" },
  { does: "write", key: "c", alt: "KeyC" },
  { does: "read", key: "m", alt: "KeyM" },
  { does: "attach", key: "a", alt: "KeyA" },
  { does: "newest", key: "g", alt: "KeyG" },
  { does: "transcript", key: "t", alt: "KeyT" },
  { does: "end", key: "e", alt: "KeyE" },
  { does: "help", key: "?", alt: "KeyH" },
];
const FIXED = ["send", "line", "leave"];
const FIXED_KEYS = { send: ["Enter"], line: ["Shift", "Enter"], leave: ["Escape"] };
const SIGNS = { ArrowDown: "↓", ArrowUp: "↑" };

/** `actions` has one function for each of KEYS but help, and `leave` for Escape. */
export function setUpKeys(actions) {
  const all = { ...actions, help: () => showKeys(told()) };
  addEventListener("keydown", (event) => {
    if (
      event.defaultPrevented ||
      event.isComposing ||
      event.ctrlKey ||
      event.metaKey ||
      document.querySelector("dialog[open]")
    )
      return;
    if (event.key === "Escape") return all.leave(event);
    const found = event.altKey
      ? KEYS.find(({ alt }) => alt === event.code || alt === event.key)
      : typing(event.target) || !singleKeys()
        ? null
        : KEYS.find(({ key }) => key === event.key);
    if (!found) return;
    event.preventDefault();
    all[found.does](event);
  });
  return all;
}

const typing = (target) =>
  target.closest?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])") !== null;

const sign = (code) => SIGNS[code] ?? code.replace("Key", "");

function told() {
  const own = KEYS.map(({ does, key, alt }) => ({
    combinations: [...(singleKeys() ? [[key]] : []), ["Alt", sign(alt)]],
    name: t(`keys.${does}`),
  }));
  return [
    ...own,
    ...FIXED.map((does) => ({
      combinations: [FIXED_KEYS[does].map((key) => t(`key.${key}`))],
      name: t(`keys.${does}`),
    })),
  ];
}
