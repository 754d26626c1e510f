"""libmagic's word on a file that we took for something harmless, where it is installed. It can refuse, never admit.

Measured over 59 samples, it alone saw HTML inside fake pictures and sounds.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from webchat_soap.domain.file import FileType
from webchat_soap.files.sniff.catalogue import Found
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active

_HEAD_BYTES = 256 * 1024
_ACTIVE = frozenset(
    (
        *("text/html", "image/svg+xml", "application/xhtml+xml"),
        *("text/x-shellscript", "text/x-php", "application/x-php", "text/x-msdos-batch"),
        *("application/x-executable", "application/x-pie-executable", "application/x-sharedlib"),
        *("application/x-dosexec", "application/vnd.microsoft.portable-executable", "application/x-msdownload"),
        *("application/x-mach-binary", "application/x-java-applet", "application/java-vm", "application/x-object"),
        *("application/java-archive", "application/vnd.android.package-archive", "application/x-msi"),
        *("application/zip", "application/x-rar", "application/vnd.rar", "application/x-7z-compressed"),
        *("application/x-tar", "application/gzip", "application/vnd.ms-cab-compressed"),
    )
)
_ZIP_DOCUMENTS = ("application/vnd.openxmlformats", "application/vnd.oasis")


class _Magic(Protocol):
    def from_buffer(self, buf: bytes) -> str: ...


def refuse_on_second_opinion(reader: Reader, found: Found) -> None:
    """UnsupportedFileType where libmagic names something active.

    Text is left to our own rule, since libmagic's guesses there go by words that any text may hold.
    """
    proved = found.proved
    if proved.file_type is FileType.DOCUMENT and proved.content_type.startswith("text/"):
        return
    libmagic = _libmagic()
    if libmagic is None:
        return
    try:
        named = libmagic.from_buffer(reader.at(0, _HEAD_BYTES))
    except Exception:
        # Whatever trips libmagic, it has then no opinion; the error class differs between the bindings for it.
        return
    # A document in a ZIP may be called a plain ZIP.
    if named in _ACTIVE and not (named == "application/zip" and proved.content_type.startswith(_ZIP_DOCUMENTS)):
        raise active(proved, f"what libmagic calls {named}")


@cache
def _libmagic() -> _Magic | None:
    """One for the process, made at first use; python-magic locks round each question."""
    try:
        # Here, since ImportError is how python-magic says that libmagic itself is missing.
        import magic

        opinion: _Magic = magic.Magic(mime=True)
    except Exception:  # ImportError without libmagic, MagicException without its database: no second opinion then.
        return None
    return opinion
