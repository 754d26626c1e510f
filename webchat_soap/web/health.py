"""`/healthz` (the process serves) and `/readyz` (its database and file store work too). Neither is ever cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from webchat_soap.domain.ports import ChatStore, FileStore
from webchat_soap.web.answers import method_not_allowed, plain

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_log = logging.getLogger(__name__)


class Health:
    """Answers for probes of load balancers and supervisors."""

    def __init__(self, *, chats: ChatStore, files: FileStore) -> None:
        self._parts: tuple[tuple[str, Callable[[], None]], ...] = (("database", chats.ping), ("files", files.ping))

    def healthz(self, environ: WSGIEnvironment) -> Response:
        """200 `ok`, without touching the stores: restarting the process would not mend a database."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD"))
        return plain(200, "ok")

    def readyz(self, environ: WSGIEnvironment) -> Response:
        """200 or 503 with `{"status": "ready" | "not ready", "database": "ok" | "failing", "files": …}`.

        Every part is asked, so that one answer names all that do not work; why stands in the log only, as one line.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD"))
        parts: dict[str, str] = {}
        for name, ping in self._parts:
            try:
                ping()
            except Exception as error:  # whatever it is, this part does not work, and a probe wants to know that
                _log.warning("not ready: %s: %s", name, _in_one_line(error))
                parts[name] = "failing"
            else:
                parts[name] = "ok"
        ready = all(state == "ok" for state in parts.values())
        body = json.dumps({"status": "ready" if ready else "not ready", **parts})
        return plain(200 if ready else 503, body, {"Content-Type": "application/json"})


def _in_one_line(error: BaseException) -> str:
    """The error and what caused it."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return " ".join(" <- ".join(f"{type(each).__name__}: {each}" for each in chain).split())
