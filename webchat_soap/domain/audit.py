"""The whole of what is kept, looked at: every file against its row, every row against the others. Changes nothing.

It may run beside a working service, where files and rows come while it looks. Bytes come before their row and neither
is taken away again once acknowledged, so a row without bytes is a finding when both have been asked for anew, and bytes
without a row are one once no call can be about to write it. Memory is bounded: rows and names come in batches.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from webchat_soap.domain.errors import Busy, WebchatError
from webchat_soap.domain.ports import FileStore

READ_BYTES: Final = 1024 * 1024
"""At a time: sha256 lets other threads run and a disk reads ahead."""

NAMES_AT_ONCE: Final = 1000

UNDER_WAY_SECONDS: Final = 600.0
"""A call has 45 seconds by default and its file gets a row in the last of them; ten minutes are beyond any doubt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something is not as it should be."""

    subject: str
    """What it is about: a stored name, `chat ID`, `database`, or what the check was doing."""
    problem: str
    advice: str

    def __str__(self) -> str:
        """One line, whatever stands in the names."""
        return " ".join(f"{self.subject}: {self.problem}; {self.advice}".split())


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptFile:
    """What the row of a file promises."""

    name: str
    size: int
    sha256: str
    is_removed: bool
    """Its bytes were removed on purpose."""


class AuditableChatStore(Protocol):
    """A chat store that can be looked at as a whole, in short transactions that hold nobody up. Errors: Busy."""

    def damages(self) -> Iterator[Finding]:
        """What the database itself finds wrong with its pages and indexes."""

    def contradictions(self) -> Iterator[Finding]:
        """Sequences that are not 1..n, counters that are not their sum, rows that name rows which are not there."""

    def counts(self) -> tuple[int, int, int]:
        """Chats, messages and files."""

    def files_after(self, name: str, at_most: int) -> list[KeptFile]:
        """The next files by their names; empty at the end."""

    def files_named(self, names: Collection[str]) -> Mapping[str, KeptFile]:
        """Those of the names that have a row."""


class AuditableFileStore(FileStore, Protocol):
    """A file store that tells more of a name. Errors: Busy."""

    def is_aside(self, name: str) -> bool:
        """Whether a sweep has put the name aside."""

    def seconds_since_change(self, name: str) -> float | None:
        """How long ago the name came, at most; None when it is not there."""


@dataclass(kw_only=True, slots=True)
class AuditProgress:
    """How far it is. The audit writes it; others read."""

    stage: str = ""
    chats: int = 0
    messages: int = 0
    files: int = 0
    files_done: int = 0
    bytes_done: int = 0
    under_way: int = 0
    """Files without a row of calls that may still be running."""
    findings: int = 0
    hash_seconds: float = 0.0
    seconds: float = 0.0


def audit(
    *,
    chats: AuditableChatStore,
    files: AuditableFileStore,
    is_served: Callable[[], bool],
    reason: Callable[[WebchatError], str],
    progress: AuditProgress,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Finding]:
    """Everything that is wrong, as it is found. `is_served` tells whether a service works on this data now, `reason`
    what an operator is told of a store that does not answer; `tick` is called often, to show the progress."""
    began = time.monotonic()
    for stage in (_audit_database, _audit_bytes, _audit_names):
        try:
            for finding in stage(chats, files, is_served, reason, progress, tick):
                progress.findings += 1
                yield finding
        except Busy as error:
            progress.findings += 1
            yield Finding(
                subject=progress.stage,
                problem=f"this could not be ended ({reason(error).removesuffix('.')})",
                advice="see to it and run the check again",
            )
    progress.seconds = time.monotonic() - began


_Stage = Iterator[Finding]
_Reason = Callable[[WebchatError], str]
_Tick = Callable[[], object]


def _audit_database(
    chats: AuditableChatStore,
    _files: AuditableFileStore,
    _is_served: Callable[[], bool],
    _reason: _Reason,
    progress: AuditProgress,
    tick: _Tick,
) -> _Stage:
    progress.stage = "reading the database"
    tick()
    yield from chats.damages()
    progress.chats, progress.messages, progress.files = chats.counts()
    progress.stage = "comparing rows"
    tick()
    yield from chats.contradictions()


def _audit_bytes(
    chats: AuditableChatStore,
    files: AuditableFileStore,
    _is_served: Callable[[], bool],
    reason: _Reason,
    progress: AuditProgress,
    tick: _Tick,
) -> _Stage:
    """Every row: its bytes are there, as many as it says, and the very same."""
    progress.stage = "reading files"
    began = time.monotonic()
    last = ""
    while batch := chats.files_after(last, NAMES_AT_ONCE):
        last = batch[-1].name
        for kept in batch:
            if not kept.is_removed and (finding := _verify(kept, chats, files, reason, progress, tick)) is not None:
                yield finding
            progress.files_done += 1
            progress.hash_seconds = time.monotonic() - began
            tick()


def _verify(
    kept: KeptFile,
    chats: AuditableChatStore,
    files: AuditableFileStore,
    reason: _Reason,
    progress: AuditProgress,
    tick: _Tick,
) -> Finding | None:
    try:
        size, sha256 = _read(kept.name, files, progress, tick)
    except FileNotFoundError:
        now = chats.files_named((kept.name,)).get(kept.name)
        if now is None or now.is_removed or files.seconds_since_change(kept.name) is not None:
            return None  # removed, or brought back, since the row was read
        if files.is_aside(kept.name):
            return Finding(
                subject=kept.name, problem="its bytes lie among the orphans", advice="the next start brings them back"
            )
        return Finding(
            subject=kept.name,
            problem="its bytes are missing",
            advice="bring the file back from a backup; until then its link answers 404",
        )
    except (Busy, OSError) as error:
        told = reason(error) if isinstance(error, WebchatError) else error.strerror or str(error)
        return Finding(
            subject=kept.name,
            problem=f"its bytes cannot be read ({told.removesuffix('.')})",
            advice="see to the file and its disk, or bring it back from a backup",
        )
    if (size, sha256) == (kept.size, kept.sha256):
        return None
    problem = (
        f"it has {size} bytes where its row says {kept.size}"
        if size != kept.size
        else f"its bytes are not those that were stored (sha256 {sha256}, its row says {kept.sha256})"
    )
    return Finding(subject=kept.name, problem=problem, advice="bring the file back from a backup")


def _read(name: str, files: FileStore, progress: AuditProgress, tick: _Tick) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with files.open(name) as stream:
        while piece := stream.read(READ_BYTES):
            digest.update(piece)
            size += len(piece)
            progress.bytes_done += len(piece)
            tick()
    return size, digest.hexdigest()


def _audit_names(
    chats: AuditableChatStore,
    files: AuditableFileStore,
    is_served: Callable[[], bool],
    _reason: _Reason,
    progress: AuditProgress,
    tick: _Tick,
) -> _Stage:
    """Every name in the store: a row knows it."""
    progress.stage = "looking for files without a message"
    names = files.names()
    while batch := list(islice(names, NAMES_AT_ONCE)):
        tick()
        known = chats.files_named(batch)
        for name in batch:
            kept = known.get(name)
            if kept is None:
                finding = _unnamed(name, chats, files, is_served, progress)
                if finding is not None:
                    yield finding
            elif kept.is_removed and files.seconds_since_change(name) is not None:
                yield Finding(
                    subject=name,
                    problem="it was removed from its message, but its bytes are still there",
                    advice="the next start puts them into the folder of orphans; delete them there",
                )


def _unnamed(
    name: str,
    chats: AuditableChatStore,
    files: AuditableFileStore,
    is_served: Callable[[], bool],
    progress: AuditProgress,
) -> Finding | None:
    served = is_served()  # before the second look: what a service has left when it stopped is what there will be
    age_seconds = files.seconds_since_change(name)
    if age_seconds is None or name in chats.files_named((name,)):
        return None
    if served and age_seconds < UNDER_WAY_SECONDS:
        progress.under_way += 1
        return None
    return Finding(
        subject=name,
        problem="no message names it",
        advice="the next start puts it into the folder of orphans, and it may be deleted there",
    )
