"""Make Spyne 2.14 importable on Python 3.12 and later; the room imports this before anything of Spyne.

Spyne ships a copy of six from 2020 whose meta path importer only knows `find_module`, which Python 3.12 no longer asks
for. Python 3.13 took `cgi` away too; the package legacy-cgi brings it back. Delete this module, and legacy-cgi from
setup.cfg, when a Spyne release imports on the newest Python by itself (upstream: arskom/spyne, no release since 2022).
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


def _load_bundled_six() -> None:
    spyne_spec = importlib.util.find_spec("spyne")
    if spyne_spec is None or not spyne_spec.submodule_search_locations:
        raise ImportError("Spyne is not installed; run `make test` or `make run`, which install it")
    path = Path(next(iter(spyne_spec.submodule_search_locations))) / "util" / "six.py"
    spec = importlib.util.spec_from_file_location("spyne.util.six", path)
    assert spec is not None
    assert spec.loader is not None
    six = importlib.util.module_from_spec(spec)
    sys.modules["spyne.util.six"] = six
    spec.loader.exec_module(six)
    _teach_specs(six)


def _teach_specs(six: ModuleType) -> None:
    importer: Any = six._importer

    def find_spec(self: Any, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname in self.known_modules:
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def create_module(self: Any, spec: ModuleSpec) -> ModuleType:
        module: ModuleType = self.load_module(spec.name)
        return module

    def exec_module(self: Any, module: ModuleType) -> None:
        """Everything was done by create_module."""

    for function in (find_spec, create_module, exec_module):
        if not hasattr(type(importer), function.__name__):
            setattr(type(importer), function.__name__, function)


def _import_spyne() -> None:
    # Its invalid escapes and deprecated calls are known and not ours to mend; a run with -W error must still start.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "spyne.util.six" not in sys.modules:
            _load_bundled_six()
    # Spyne logs every fault with a stack trace; the endpoint writes the one line that a request gets.
    logging.getLogger("spyne").setLevel(logging.CRITICAL)


_import_spyne()
