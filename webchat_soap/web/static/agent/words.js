// All words come from the catalogue of the page's language, en.json or tr.json, which the page carries.

const words = JSON.parse(document.getElementById("words").textContent);

/** The page's language, as BCP 47 has it. */
export const language = document.documentElement.lang;

/** The same as the agent's region has it where the browser tells: en-GB writes 14:05 where en writes 2:05 PM. */
export const locale = navigator.languages.find((each) => each.split("-")[0] === language) ?? language;

const plurals = new Intl.PluralRules(language);
const whole = new Intl.NumberFormat(locale);

/** The catalogue's text for `key` with its `{names}` filled in; numbers are written as the language does. */
export function t(key, values = {}) {
  const pattern = words[key];
  if (pattern === undefined) throw new Error(`no word for ${key}`);
  return pattern.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? "";
    return typeof value === "number" ? whole.format(value) : String(value);
  });
}

/** Like `t`, of `key.one` or `key.other` as the language's rule for `count` says; `{count}` is the number. */
export function many(key, count, values = {}) {
  const form = `${key}.${plurals.select(count)}`;
  return t(form in words ? form : `${key}.other`, { count, ...values });
}

/** Whether the catalogue has `key`. */
export function has(key) {
  return key in words;
}
