"""What ties workers to their parent: they die with it, and they report to it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass

_PR_SET_PDEATHSIG = 1
_MOST_SENTENCE = 1000
"""Characters; a report must fit into one atomic write to a pipe (4,096 bytes on Linux)."""


class Lifeline:
    """A pipe whose writing end only the parent holds: its end, by whatever death, is the end of the workers.

    A thread waits for it, which works everywhere; on Linux the kernel is asked too, since a thread of a worker that is
    stuck in C code gets no turn. Make it in the parent before it forks.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._parent = os.getpid()

    def hold_on(self) -> None:
        """Call in a worker, first of all."""
        os.close(self._write)
        threading.Thread(target=self._wait, name="lifeline", daemon=True).start()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._parent:  # it died before the kernel was asked
                os._exit(1)

    def _wait(self) -> None:
        os.read(self._read, 1)
        os._exit(1)

    def close(self) -> None:
        """Call in the parent when all workers have ended."""
        os.close(self._read)
        os.close(self._write)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A worker's word: it is ready, why it could not start (`failure`), or that it accepts no more (`leaves`)."""

    pid: int
    failure: str | None = None
    leaves: bool = False


class Reports:
    """A pipe from the workers to the parent. Make it in the parent before it forks."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._rest = b""

    def fileno(self) -> int:
        """Readable when there is a report: for a selector."""
        return self._read

    def send(self, failure: str | None) -> None:
        """Call in a worker, once, when it is ready or has failed."""
        self._write_out(Report(pid=os.getpid(), failure=failure and failure[:_MOST_SENTENCE]))

    def send_leaving(self) -> None:
        """Call in a worker that begins to stop."""
        self._write_out(Report(pid=os.getpid(), leaves=True))

    def _write_out(self, report: Report) -> None:
        os.write(self._write, json.dumps(asdict(report)).encode() + b"\n")

    def read(self) -> list[Report]:
        """Call in the parent: all reports that have come; does not wait."""
        try:
            self._rest += os.read(self._read, 65_536)
        except BlockingIOError:
            return []
        *lines, self._rest = self._rest.split(b"\n")
        return [Report(**json.loads(line)) for line in lines]
