"""All benchmarks, one after another."""

from __future__ import annotations

from benchmarks import hostile, in_process

if __name__ == "__main__":
    in_process.main()
    print()
    hostile.main()
