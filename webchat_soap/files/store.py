"""From a files URL to the store behind it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from webchat_soap.files.local import LocalFileStore


def open_file_store(url: str | None, *, folder: Path) -> LocalFileStore:
    """The FileStore behind `file:///absolute/folder`, or over `folder` where there is no URL. ValueError for others.

    Nothing is opened or made before the first call. What no message names is put aside in a folder beside it:
    `orphans` beside `files`, `NAME-orphans` beside any other.
    """
    if url is None or url == "":
        return _local(folder.absolute())
    parts = urlsplit(url)
    if parts.scheme == "s3":
        raise ValueError("s3:// is not in this version yet; use file:///FOLDER.")
    path = unquote(parts.path)
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or parts.query
        or parts.fragment
        or not path.startswith("/")
        or "\0" in path
    ):
        raise ValueError("The files URL must name a folder on this machine, as file:///FOLDER.")
    return _local(Path(path))


def _local(folder: Path) -> LocalFileStore:
    aside = "orphans" if folder.name == "files" else f"{folder.name}-orphans"
    return LocalFileStore(folder, aside=folder.with_name(aside))
