// What the service takes, told before anything is sent. It proves each file itself; this only spares the way.

import { session } from "./api.js";
import { bytes } from "./format.js";
import { t } from "./words.js";

/** The family that the browser takes a file for, or null where it does not know. */
export function guessedFamily(file) {
  const limits = session.limits.fileLimit;
  const exact = limits.find((limit) => limit.contentType.includes(file.type));
  if (exact) return exact.fileType;
  const family = file.type.split("/")[0].toUpperCase();
  return limits.some((limit) => limit.fileType === family) ? family : null;
}

/** Why a file cannot be sent, shaped like the service's faults, or null. `waiting` are the chat's files on their way,
 * `usage` what the chat holds already. */
export function localFault(file, usage, waiting) {
  const limits = session.limits;
  if (file.size === 0) return { code: "EmptyFile" };
  const family = guessedFamily(file);
  const largest = Math.max(
    ...limits.fileLimit.filter((limit) => family === null || limit.fileType === family).map((limit) => limit.maxSize),
  );
  if (file.size > largest) return { code: "FileTooLarge", limit: largest, actual: file.size };
  const files = (usage?.files ?? 0) + waiting.length + 1;
  if (files > limits.maxFilesPerChat)
    return { code: "QuotaExceeded", field: "maxFilesPerChat", limit: limits.maxFilesPerChat, actual: files };
  const total = (usage?.bytes ?? 0) + waiting.reduce((sum, upload) => sum + upload.size, 0) + file.size;
  if (total > limits.maxBytesPerChat)
    return { code: "QuotaExceeded", field: "maxBytesPerChat", limit: limits.maxBytesPerChat, actual: total };
  return null;
}

/** "At most: pictures 10 MB · sound 16 MB · …" */
export function limitsText() {
  const families = session.limits.fileLimit.map((limit) =>
    t("limits.family", { family: t(`family.${limit.fileType}`), size: bytes(limit.maxSize) }),
  );
  return t("limits.all", { families: families.join(" · ") });
}
