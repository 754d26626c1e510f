"""The machine's line: what a figure was measured on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any

CORES = 2
"""Everything of a run, the load generator included, shares as many cores: what a small machine has."""

_FSYNCS = 200


def share_cores() -> tuple[int, ...]:
    """Keep this process and all it will start on the first `CORES` cores it may use; which ones."""
    cores = tuple(sorted(os.sched_getaffinity(0))[:CORES])
    os.sched_setaffinity(0, cores)
    return cores


def describe(folder: Path) -> dict[str, Any]:
    """What holds on this machine, for the disk of `folder`."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release().partition("-")[0],
        "file_system": _file_system(folder),
        "fsync_us": round(fsync_microseconds(folder)),
    }


def line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}, Linux {machine['kernel']}, {machine['file_system']}, "
        f"fsync {machine['fsync_us']} µs"
    )


def fsync_microseconds(folder: Path) -> float:
    """Median time that the disk takes to make 4 KiB at a file's end durable."""
    path = folder / "fsync"
    took = []
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(_FSYNCS):
                file.write(bytes(4096))
                started = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append(time.perf_counter() - started)
    finally:
        path.unlink(missing_ok=True)
    return statistics.median(took) * 1e6


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return " ".join(found[1].split()) if found else platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that the folder is on."""
    best, kind = "", "unknown"
    for entry in Path("/proc/self/mounts").read_text().splitlines():
        _, place, found = entry.split(" ")[:3]
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind
