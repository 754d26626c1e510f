"""What a crash left behind, and whose files these are: run before any worker starts.

Bytes are stored before their row, so a sweep beside a working process would take away what is about to be
acknowledged: it needs the data folder's lock (design: Processes).

A sweep believes the database, and a database can be the wrong one: new, lost, another service's, an old backup. So it
never deletes bytes that were whole. Files and database carry the same id, and files of another database, or files
without one, refuse the start. Files of this database that no message names are put aside, since an old backup does not
name what came after it; and when the right database is there again, what it names comes back by itself.

A sweep costs what has changed, not what there is. The database remembers each day's folder as the last sweep found and
left it, by a stamp that changes with every name that comes or goes; a day whose stamp is the same needs no look. The
memory is in the database, and nowhere else, because it says of files that *this* database names them: an older backup
has the older memory, and looks at every folder that has changed since. It does not go by dates: a clock that was wrong
for a day leaves folders of any date.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from webchat_soap.domain.errors import Busy
from webchat_soap.domain.ports import ChatStore, FileStore

_NAMES_TOLD: Final = 5
"""In a line of the log; the count tells the rest, and `check --deep` every name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesOfDay:
    """What lies in the folder of a day."""

    names: frozenset[str]
    """Stored names of this day with bytes behind them; a folder or a link of such a name has none."""
    removed_unfinished: int
    """Files that were never whole, and are no more."""


class SweepableFileStore(FileStore, Protocol):
    """A file store that knows whose files it holds and can be put in order. Only while nobody saves. Errors: Busy.

    A day is the date that stored names begin with, `YYYYMMDD`.
    """

    def sweep_temporary(self) -> int:
        """Remove unfinished files that belong to no day, whoever began them; the number removed."""

    def owners(self) -> frozenset[str]:
        """The ids (ChatStore.store_id) of the databases that the files were marked as theirs; empty for none."""

    def mark(self, store_id: str) -> None:
        """Mark the files as this database's and no other's, durably."""

    def days(self) -> Mapping[str, str | None]:
        """The days there are, each with its stamp: equal stamps mean that no name came or went between.

        None where that cannot be told yet, since the day has changed only just now.
        """

    def sweep_day(self, day: str) -> FilesOfDay:
        """Remove the day's unfinished files; what is left. A day that is not there has no files."""

    def set_aside(self, names: Iterable[str]) -> None:
        """Take these names out of the store and keep their bytes where an operator finds them."""

    def bring_back(self, names: Iterable[str]) -> frozenset[str]:
        """Put back those of the names that were set aside; returns which."""


class SweepableChatStore(ChatStore, Protocol):
    """A chat store that knows its files by day and remembers what was swept. Errors: Busy."""

    def file_days(self) -> frozenset[str]:
        """The days of all committed files. Costs a seek a day, not a look at every file."""

    def file_names_of(self, day: str) -> frozenset[str]:
        """The stored names of the day's committed files, without those whose bytes were removed on purpose."""

    def swept_days(self) -> Mapping[str, str]:
        """The stamps of the days that the last sweeps found in order."""

    def remember_swept(self, *, stamps: Mapping[str, str], forget: Iterable[str]) -> None:
        """Remember these stamps and forget those days, durably; other days stay as they are."""


class IdentifiedDatabase(Protocol):
    """What tells whose files these are. Errors: Busy."""

    def store_id(self) -> str | None:
        """As ChatStore.store_id."""

    def file_names(self) -> Iterator[str]:
        """As ChatStore.file_names."""


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
    looked_at: int = 0
    """Whole files in the folders that had changed since the last sweep."""
    days_looked_at: int = 0
    days_unchanged: int = 0
    """Left out, because no name came or went since they were in order."""
    days_left: int = 0
    """Not looked at for want of time; the next sweep goes on with them."""
    days_in_trouble: tuple[str, ...] = ()
    """Folders that could not be read or put in order, sorted; the next sweep tries again."""
    seconds: float = 0.0

    def __str__(self) -> str:
        """One line for the log."""
        days = f"{self.days_looked_at} day(s) looked at, {self.days_unchanged} unchanged"
        if self.days_left:
            days += f", {self.days_left} left for the next start"
        return (
            f"Swept in {self.seconds:.2f} s: {self.looked_at} file(s), {days}; {self.set_aside} set aside, "
            f"{self.brought_back} brought back, {self.removed_unfinished} unfinished removed, "
            f"{len(self.missing_files)} missing"
        )

    def troubles(self) -> Iterator[str]:
        """A line for each kind of thing that an operator should see to."""
        if self.missing_files:
            yield (
                f"{len(self.missing_files)} stored file(s) are missing ({_first(self.missing_files)}): their links "
                "answer 404; bring them back from a backup of the files, their messages are kept as they are"
            )
        if self.days_in_trouble:
            yield (
                f"{len(self.days_in_trouble)} folder(s) of files could not be put in order "
                f"({_first(self.days_in_trouble)}): see to their permissions and their disk, then start again"
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_TOLD]) + (", …" if len(names) > _NAMES_TOLD else "")


def refuse_foreign_files(*, chats: IdentifiedDatabase, files: SweepableFileStore, database: str, folder: str) -> None:
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


def sweep(
    *,
    chats: SweepableChatStore,
    files: SweepableFileStore,
    database: str,
    folder: str,
    at_most_seconds: float = float("inf"),
) -> SweepReport:
    """Put aside every whole file that no committed message names, remove unfinished ones, bring back what was put
    aside and is named. ForeignFilesError as `refuse_foreign_files`, Busy when the database does not answer.

    Makes the database where there is none, and marks the files as its own. Looks at the days that have changed since
    they were last in order, the newest first and at least one; those that there is no time for wait for the next sweep:
    they hold nothing that anybody could see or miss more than before. Holds the names of one day in memory, about
    300 bytes each.
    """
    began = time.monotonic()
    refuse_foreign_files(chats=chats, files=files, database=database, folder=folder)
    chats.ping()
    store_id = chats.store_id()
    assert store_id is not None, "the ping has made it"
    if files.owners() != {store_id}:
        files.mark(store_id)
    removed = files.sweep_temporary()
    remembered = chats.swept_days()
    # Before any look: what changes from now on has another stamp and is looked at next time.
    stamps = files.days()
    to_look_at = sorted(
        (
            day
            for day in stamps.keys() | chats.file_days()
            if (now := stamps.get(day)) is None or now != remembered.get(day)
        ),
        reverse=True,
    )
    looked = _Looked()
    for number, day in enumerate(to_look_at):
        if number and time.monotonic() - began > at_most_seconds:
            break
        looked.at(day, chats=chats, files=files)
    in_order = {day: stamp for day in looked.in_order if (stamp := stamps.get(day)) is not None}
    forget = (looked.days - in_order.keys() | remembered.keys() - stamps.keys()) & remembered.keys()
    if in_order or forget:
        with suppress(Busy):  # what is not remembered is looked at again
            chats.remember_swept(stamps=in_order, forget=forget)
    return SweepReport(
        removed_unfinished=removed + looked.removed_unfinished,
        set_aside=looked.set_aside,
        brought_back=looked.brought_back,
        missing_files=tuple(sorted(looked.missing)),
        looked_at=looked.files,
        days_looked_at=len(looked.days),
        days_unchanged=len(stamps.keys() - set(to_look_at)),
        days_left=len(to_look_at) - len(looked.days),
        days_in_trouble=tuple(sorted(looked.in_trouble)),
        seconds=time.monotonic() - began,
    )


class _Looked:
    """The findings of the days that were looked at."""

    def __init__(self) -> None:
        self.days: set[str] = set()
        self.in_order: list[str] = []
        self.in_trouble: list[str] = []
        self.missing: set[str] = set()
        self.files = 0
        self.removed_unfinished = 0
        self.set_aside = 0
        self.brought_back = 0

    def at(self, day: str, *, chats: SweepableChatStore, files: SweepableFileStore) -> None:
        """Put a day in order. One that cannot be is no reason not to start: the others can be served."""
        self.days.add(day)
        named = chats.file_names_of(day)
        try:
            found = files.sweep_day(day)
            orphans = found.names - named
            missing = named - found.names
            files.set_aside(orphans)
            brought_back = files.bring_back(missing) if missing else frozenset()
        except (Busy, OSError):
            self.in_trouble.append(day)
            return
        self.files += len(found.names)
        self.removed_unfinished += found.removed_unfinished
        self.set_aside += len(orphans)
        self.brought_back += len(brought_back)
        self.missing |= missing - brought_back
        # What was changed has another stamp now, and what is missing is to be told again at every start.
        if not (orphans or missing or found.removed_unfinished):
            self.in_order.append(day)
