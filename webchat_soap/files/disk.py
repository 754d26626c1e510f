"""What spool and local store do alike when the disk says no."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from webchat_soap.domain.errors import Busy
from webchat_soap.domain.outages import outage_of

RETRY_AFTER_SECONDS: Final = 10
"""A full disk takes an operator; sooner retries would only load it."""

_LOG = logging.getLogger(__name__)


def busy(error: OSError) -> Busy:
    """What the disk says, for the caller in one sentence for all, and with its word for the operator in the log."""
    outage = outage_of(error)
    # Without the error's path, which holds given names.
    _LOG.warning("no file can be stored or read (%s): %s", outage, error.strerror or error)
    busy = Busy(
        "The file cannot be stored or read right now and nothing of it was kept; try again, with the same clientToken "
        "where there is one. Texts are not concerned.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
    busy.outage = outage
    return busy


class Leftovers:
    """Files that have to go. What cannot be removed now (the folder may just have become read-only) is remembered and
    removed later, since no caller can do anything about it and the sweep of the next start may be months away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: set[Path] = set()

    def remove(self, path: Path) -> None:
        """Now or later. One that is not there is fine."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("a file that is not needed stays for now: %s", error.strerror)
            with self._lock:
                self._paths.add(path)

    def try_again(self) -> None:
        """To be called now and then; costs nothing where nothing is left."""
        if not self._paths:
            return
        with self._lock:
            paths, self._paths = self._paths, set()
        for path in paths:
            self.remove(path)
