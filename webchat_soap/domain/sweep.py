"""What a crash left behind, and whose files these are: run before any worker starts.

Bytes are stored before their row, so a sweep beside a working process would take away what is about to be
acknowledged: it needs the data folder's lock (design: Processes).

A sweep believes the database, and a database can be the wrong one: new, lost, another service's, an old backup. So it
never deletes bytes that were whole. Files and database carry the same id, and files of another database, or files
without one, refuse the start. Files of this database that no message names are put aside, since an old backup does not
name what came after it; and when the right database is there again, what it names comes back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from webchat_soap.domain.ports import ChatStore, FileStore


class SweepableFileStore(FileStore, Protocol):
    """A file store that knows whose files it holds and can be put in order. Only while nobody saves. Errors: Busy."""

    def sweep_temporary(self) -> int:
        """Remove unfinished files, whoever began them; the number removed."""

    def owners(self) -> frozenset[str]:
        """The ids (ChatStore.store_id) of the databases that the files were marked as theirs; empty for none."""

    def mark(self, store_id: str) -> None:
        """Mark the files as this database's and no other's, durably."""

    def set_aside(self, names: Iterable[str]) -> None:
        """Take these names out of the store and keep their bytes where an operator finds them."""

    def bring_back(self, names: Iterable[str]) -> frozenset[str]:
        """Put back those of the names that were set aside; returns which."""


class ForeignFilesError(ValueError):
    """The files are not those of the database; the sentence names both and says what to do. For the operator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """What a sweep did and found."""

    removed_unfinished: int
    """Files that were never whole."""
    set_aside: int
    """Whole files that no message names: of a call that a crash cut short, or newer than a database restored."""
    brought_back: int
    """Files that had been set aside and are named by the database that is there now."""
    missing_files: tuple[str, ...]
    """Stored names that have a row but no bytes, sorted: for the operator, nothing is changed for them."""


def refuse_foreign_files(*, chats: ChatStore, files: SweepableFileStore, database: str, folder: str) -> None:
    """Raise ForeignFilesError unless the files are the database's, or there are none. Changes nothing. Busy.

    `database` and `folder` are what the operator calls them. Files without a mark (of a version before there were
    marks, or copied without it) are the database's when it names at least one of them: names hold a random UUID.
    """
    owners = files.owners()
    store_id = chats.store_id()
    if store_id is not None and owners == {store_id}:
        return
    names = set(files.names())
    if not names:
        return
    count = f"{len(names)} file(s)"
    if store_id is None:
        raise ForeignFilesError(
            f"There is no database at {database}, but {folder} holds {count} of one: restore that database (or set "
            f"WEBCHAT_DATABASE_URL to where it is); to begin anew, move {folder} away."
        )
    if owners:
        raise ForeignFilesError(
            f"{folder} holds {count} of another database than {database}: restore the database that belongs to them "
            f"(or set WEBCHAT_DATABASE_URL to where it is); to go on with this one, move {folder} away."
        )
    if names.isdisjoint(chats.file_names()):
        raise ForeignFilesError(
            f"{folder} holds {count}, and the database {database} knows none of them: restore the database that "
            f"belongs to them (or set WEBCHAT_DATABASE_URL to where it is); to go on with this one, move {folder} away."
        )


def sweep(*, chats: ChatStore, files: SweepableFileStore, database: str, folder: str) -> SweepReport:
    """Put aside every whole file that no committed message names, remove unfinished ones, bring back what was put
    aside and is named. ForeignFilesError as `refuse_foreign_files`, Busy when a store does not answer.

    Makes the database where there is none, and marks the files as its own. Holds the names of all committed files in
    memory, about 100 bytes each.
    """
    refuse_foreign_files(chats=chats, files=files, database=database, folder=folder)
    chats.ping()
    store_id = chats.store_id()
    assert store_id is not None, "the ping has made it"
    if files.owners() != {store_id}:
        files.mark(store_id)
    removed = files.sweep_temporary()
    missing = set(chats.file_names())
    orphans = []
    for name in files.names():
        if name in missing:
            missing.discard(name)
        else:
            orphans.append(name)
    files.set_aside(orphans)
    brought_back = files.bring_back(missing) if missing else frozenset()
    return SweepReport(
        removed_unfinished=removed,
        set_aside=len(orphans),
        brought_back=len(brought_back),
        missing_files=tuple(sorted(missing - brought_back)),
    )
