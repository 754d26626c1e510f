// Times, sizes and lengths as the page's language writes them.

import { locale, t } from "./words.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
const relativeDay = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
const medium = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const thisYear = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat(locale, {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});
const shortDay = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const shortDayOfYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });

let skew = 0;

/** Tells what the server's clock says now, so that "2 min ago" is so also where this machine's clock is off. */
export function setServerTime(text) {
  skew = Date.parse(text) - Date.now();
}

/** Milliseconds since 1970 by the server's clock. */
export const now = () => Date.now() + skew;

const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
const daysAgo = (time) => Math.round((midnight(now()) - midnight(time)) / DAY);

/** The day of a time, to tell whether two are of one day. */
export const dayOf = (text) => midnight(Date.parse(text));

/** "Today", "Yesterday", "Monday, 3 November". */
export function dayName(text) {
  const time = Date.parse(text);
  const days = daysAgo(time);
  if (days <= 1) {
    const name = relativeDay.format(-days, "day");
    return name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
  }
  return (new Date(time).getFullYear() === new Date(now()).getFullYear() ? thisYear : otherYear).format(time);
}

/** Of today relative ("5 min. ago"), of another day the time of day: the heading above tells which. */
export function messageTime(text) {
  const time = Date.parse(text);
  return daysAgo(time) === 0 ? ago(time) : clock.format(time);
}

/** For the list, as short as can be: "5 min. ago", "Mon", "3 Nov". */
export function rowTime(text) {
  const time = Date.parse(text);
  const days = daysAgo(time);
  if (days <= 0) return ago(time);
  if (days < 7) return weekday.format(time);
  return (new Date(time).getFullYear() === new Date(now()).getFullYear() ? shortDay : shortDayOfYear).format(time);
}

function ago(time) {
  const past = Math.max(0, now() - time);
  if (past < MINUTE) return t("time.now");
  if (past < HOUR) return relative.format(-Math.floor(past / MINUTE), "minute");
  return relative.format(-Math.floor(past / HOUR), "hour");
}

/** Day, date and time to the second. */
export const exactTime = (text) => exact.format(Date.parse(text));

/** Date and time to the minute, as short as it is exact. */
export const mediumTime = (text) => medium.format(Date.parse(text));

/** A `time` element with the exact time on hover, kept up to date by `refreshTimes`. */
export function timeElement(text, { row = false } = {}) {
  const node = document.createElement("time");
  node.dateTime = text;
  node.title = exactTime(text);
  node.dataset.as = row ? "row" : "message";
  node.textContent = row ? rowTime(text) : messageTime(text);
  return node;
}

/** Writes relative times anew; the page does so every half minute. */
export function refreshTimes() {
  for (const node of document.querySelectorAll("time[data-as]")) {
    const text = node.dataset.as === "row" ? rowTime(node.dateTime) : messageTime(node.dateTime);
    if (node.textContent !== text) node.textContent = text;
  }
}

const UNITS = ["B", "KB", "MB", "GB"];

/** "3.4 MB", counting by 1,024 as the limits do. */
export function bytes(count) {
  let power = 0;
  while (count >= 1024 && power < UNITS.length - 1) {
    count /= 1024;
    power += 1;
  }
  return `${number.format(count >= 100 ? Math.round(count) : count)} ${UNITS[power]}`;
}

/** "1:05" or "1:02:03". */
export function length(milliseconds) {
  const seconds = Math.round(milliseconds / SECOND);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, place) => (place === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** Unicode code points, as the service counts a text. */
export const codePoints = (text) => [...text].length;
