"""What the commands do with the data folder as a whole: put it in order, look at it, say what is wrong with it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from webchat_soap.domain.agent_ports import AgentStore
from webchat_soap.domain.audit import AuditProgress, Finding, audit
from webchat_soap.domain.console import ConsoleStore
from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.sweep import SweepableChatStore, SweepableFileStore, SweepReport, refuse_foreign_files
from webchat_soap.domain.sweep import sweep as sweep_stores
from webchat_soap.files.local import LocalFileStore
from webchat_soap.files.spool import sweep_spool
from webchat_soap.files.store import open_file_store
from webchat_soap.files.uploads import sweep_uploads
from webchat_soap.settings import Settings
from webchat_soap.stores import SqliteInspection, open_chat_store, open_inspection
from webchat_soap.stores import operators_reason as database_reason

__all__ = [
    "AuditProgress",
    "check_database",
    "check_everything",
    "check_files",
    "check_same_database",
    "open_stores",
    "operators_reason",
    "sweep",
]

UPLOADS = "uploads"
"""The folder of agents' files on their way, in the data folder."""

SWEEP_SECONDS = 1.0
"""Of a start that should answer within two; 300,000 files are looked at in one."""

log = logging.getLogger(__name__)


class Database(SweepableChatStore, ConsoleStore, Protocol):
    """Everything that is kept in the database."""

    @property
    def agents(self) -> AgentStore:
        """Closed together with the chats."""


def open_stores(settings: Settings) -> tuple[Database, SweepableFileStore]:
    """The stores of the settings, in a data folder that is made where it is missing."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    chats = open_chat_store(settings.database_url, lock_folder=_lock_folder(settings))
    files = open_file_store(settings.files_url, folder=settings.data_dir / "files")
    return chats, files


def sweep(settings: Settings) -> SweepReport:
    """Put in order what a crash left, and log what was done. Only while the data folder is held and no worker runs.

    Files of another database than the one in the settings are refused and left alone. Raises a WebchatError, OSError
    or ValueError with a sentence (`operators_reason` has a better one for a WebchatError).
    """
    sweep_spool(settings.data_dir / "spool")
    sweep_uploads(settings.data_dir / UPLOADS)
    chats, files = open_stores(settings)
    places = _places(settings)
    with closing(chats):
        report = sweep_stores(
            chats=chats,
            files=files,
            database=places["database"],
            folder=places["folder"],
            at_most_seconds=SWEEP_SECONDS,
        )
    for line in report.troubles():
        log.warning("%s", line)
    log.info("%s", report)
    return report


def check_database(settings: Settings) -> str:
    """Prove that `serve` could work with the database, as a sentence; raises as `sweep`. Makes and changes nothing."""
    with closing(_inspection(settings, for_writing=True)) as chats:
        refuse_foreign_files(chats=chats, files=_files(settings), **_places(settings))
        if not chats.is_made():
            return f"There is none yet at {settings.database_url}; serve makes it."
        if chats.is_older():
            return f"{settings.database_url} is of an older version; serve brings it up to date first (back it up)."
        chats.check_nothing_lost()
        chats.check_writable()
        return f"{settings.database_url} answers."


def check_same_database(settings: Settings) -> bool:
    """Whether there is a database; raises as `sweep` where the files in the folder are of another. Makes nothing."""
    with closing(_inspection(settings)) as chats:
        refuse_foreign_files(chats=chats, files=_files(settings), **_places(settings))
        return chats.is_made()


def check_files(settings: Settings) -> None:
    """Prove that files could be written; raises as `sweep`. Makes and changes nothing."""
    _files(settings).probe()


def check_everything(
    settings: Settings, *, is_served: Callable[[], bool], progress: AuditProgress, tick: Callable[[], object]
) -> Iterator[Finding]:
    """domain.audit over the stores of the settings; raises as `sweep` when there is no database of these files."""
    files = _files(settings)
    with closing(_inspection(settings)) as chats:
        if not chats.is_made():
            raise ValueError(f"There is no database at {settings.database_url}, so there is nothing to compare with.")
        refuse_foreign_files(chats=chats, files=files, **_places(settings))
        yield from audit(
            chats=chats,
            files=files,
            is_served=is_served,
            reason=lambda error: operators_reason(error, settings),
            progress=progress,
            tick=tick,
        )


def operators_reason(error: WebchatError, settings: Settings) -> str:
    """What stopped a command, as a sentence for the operator: the reason that callers are not told, where one is known,
    else the error's own sentence."""
    places = _places(settings)
    cause = error.__cause__
    while cause is not None:
        sentence = database_reason(cause, Path(places["database"]))
        if sentence is not None:
            return sentence
        if isinstance(cause, OSError):
            place = cause.filename or settings.data_dir
            if cause.errno in (errno.ENOSPC, errno.EDQUOT):
                return f"There is no space left on the disk of {place}; make room and try again."
            return f"{place} cannot be used: {cause.strerror or cause}."
        cause = cause.__cause__
    return str(error)


def _inspection(settings: Settings, *, for_writing: bool = False) -> SqliteInspection:
    return open_inspection(
        settings.database_url, lock_folder=_lock_folder(settings), for_writing=for_writing, patience_seconds=1.0
    )


def _lock_folder(settings: Settings) -> Path:
    return settings.data_dir / "locks"


def _files(settings: Settings) -> LocalFileStore:
    return open_file_store(settings.files_url, folder=settings.data_dir / "files")


def _places(settings: Settings) -> dict[str, str]:
    """What an operator calls database and files."""
    files = (settings.files_url or "").removeprefix("file://") or str(settings.data_dir / "files")
    return {"database": settings.database_url.removeprefix("sqlite:///"), "folder": files}
