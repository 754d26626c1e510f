"""What would be on the disk if the power failed: told from the system calls of a service under strace.

The strict reading of POSIX: bytes are durable after an fsync or fdatasync of their file that began after they were
written, a name after one of its folder. Removing need not be durable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,open,creat,mkdir,mkdirat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "write,pwrite64,writev,pwritev,sendto,sendmsg,ftruncate,fallocate,fsync,fdatasync,sync_file_range"
)

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+).*")
_PATH = re.compile(r'"(?P<path>/[^"]*)"')
_DESCRIPTOR = re.compile(r"\d+<(?P<path>/[^>]*?)(?: \(deleted\))?>")
_ANSWER = re.compile(r'"HTTP/1\.1 200 OK\\r\\ncontent-type: (text/xml|application/soap\+xml)')


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    began: int
    """Line of the trace where it began."""
    name: str
    arguments: str
    succeeded: bool


@dataclass(kw_only=True)
class _File:
    written: int = -1
    """When it was last written."""
    synced: int = -1
    """When its last finished sync began."""


@dataclass(kw_only=True)
class Disk:
    """Files and names in `folder`, which was empty when the trace began."""

    folder: Path
    scratch: tuple[str, ...]
    """Paths in `folder` whose loss does no harm, with all below them."""
    answers: int = 0
    """Answers to SOAP calls so far, all with 200."""
    problems: list[str] = field(default_factory=list)
    """What was not durable while such an answer went out."""
    _files: dict[str, _File] = field(default_factory=dict)
    """By path; a linked file stands under both, a folder is a file whose entries are its bytes."""
    _named: dict[str, int] = field(default_factory=dict)
    """When the path was made."""

    def play(self, trace: Iterator[str] | list[str]) -> None:
        """Follow the calls in the order in which they ended; what is written counts from when it began."""
        for call in _calls(trace):
            if call.succeeded:
                self._follow(call)

    def write(self, path: str) -> None:
        """The file was written before the trace began."""
        self._files[path] = _File(written=0)

    def _follow(self, call: _Call) -> None:
        name = call.name
        paths = [path for path in _PATH.findall(call.arguments) if self._is_ours(path)]
        if name in ("openat", "open", "creat"):
            if "O_CREAT" in call.arguments and paths and paths[0] not in self._files:
                self._make(paths[0], call.began)
        elif name in ("mkdir", "mkdirat"):
            for path in paths:
                self._make(path, call.began)
        elif name in ("link", "linkat"):
            self._make(paths[1], call.began, self._files[paths[0]])
        elif name.startswith("rename"):
            self._make(paths[1], call.began, self._files.pop(paths[0]))
            self._named.pop(paths[0])
        elif name in ("unlink", "unlinkat", "rmdir"):
            for path in paths:
                self._files.pop(path, None)
                self._named.pop(path, None)
        elif name in ("fsync", "fdatasync"):
            file = self._described(call)
            if file is not None:
                file.synced = max(file.synced, call.began)
        elif _ANSWER.search(call.arguments):
            self._answered()
        else:
            file = self._described(call)
            if file is not None:
                file.written = max(file.written, call.began)

    def _make(self, path: str, when: int, file: _File | None = None) -> None:
        self._files[path] = file or _File()
        self._named[path] = when

    def _described(self, call: _Call) -> _File | None:
        found = _DESCRIPTOR.match(call.arguments)
        if found is None or not self._is_ours(found["path"]):
            return None
        # The folder around it all was there before.
        return self._files.setdefault(found["path"], _File())

    def _is_ours(self, path: str) -> bool:
        return path.startswith(f"{self.folder}/") or path == str(self.folder)

    def _matters(self, path: str) -> bool:
        relative = os.path.relpath(path, self.folder)
        return not any(relative == name or relative.startswith(f"{name}/") for name in self.scratch)

    def _answered(self) -> None:
        self.answers += 1
        for path, file in self._files.items():
            if file.written > file.synced and self._matters(path):
                self.problems.append(f"answer {self.answers}: the bytes of {path}")
        for path, when in self._named.items():
            folder = self._files.get(str(Path(path).parent))
            if (folder is None or when > folder.synced) and self._matters(path):
                self.problems.append(f"answer {self.answers}: the name {path}")


def _calls(trace: Iterator[str] | list[str]) -> Iterator[_Call]:
    """The finished calls. One that another thread's cuts in two stands where it ended."""
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(trace):
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            continue
        pid, text, began = match["pid"], match["rest"], number
        if text.endswith(_UNFINISHED):
            begun[pid] = (number, text.removesuffix(_UNFINISHED))
            continue
        resumed = _RESUMED.match(text)
        if resumed is not None:
            if pid not in begun:
                continue
            began, start = begun.pop(pid)
            text = start + resumed["rest"]
        call = _CALL.match(text)
        if call is not None:
            yield _Call(
                began=began,
                name=call["name"],
                arguments=call["arguments"],
                succeeded=not call["result"].startswith("-"),
            )
