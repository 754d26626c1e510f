"""Names that people gave their files come back in Content-Disposition whole, safe, and with an honest extension."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.web.disposition import MAX_NAME_BYTES, content_disposition

HEADER = re.compile(r"""(inline|attachment); filename="([ -~]*)"(?:; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+))?""")


TYPES = {"png": "image/png", "txt": "text/plain", "jpg": "image/jpeg", "pdf": "application/pdf"}


def stored(original_name: str, extension: str = "png", file_type: FileType = FileType.IMAGE) -> StoredFile:
    return StoredFile(
        file_id="4865c412-7c28-45e4-9f55-3bd039401734",
        name=f"20210304-4865c412-7c28-45e4-9f55-3bd039401734.{extension}",
        original_name=original_name,
        file_type=file_type,
        content_type=TYPES[extension],
        size=1,
        sha256="0" * 64,
    )


def parsed(original_name: str, extension: str = "png") -> tuple[str, str]:
    """The ASCII name and the name itself, as a browser reads them."""
    value = content_disposition(stored(original_name, extension))
    found = HEADER.fullmatch(value)
    assert found is not None, value
    assert not set('"\\%/') & set(found[2])
    return found[2], unquote(found[3], errors="strict") if found[3] else found[2]


@pytest.mark.parametrize(
    ("given_name", "fallback", "name"),
    [
        ("plain.png", "plain.png", "plain.png"),
        ("two words; and a semicolon.png", "two words; and a semicolon.png", "two words; and a semicolon.png"),
        ("şğıİçöü.png", "sgiIcou.png", "şğıİçöü.png"),
        ("tatil 🏖️.png", "tatil __.png", "tatil 🏖️.png"),
        ('the "best".png', "the _best_.png", 'the "best".png'),
        ("100%41.png", "100_41.png", "100%41.png"),
        ("a\\b/c.png", "a_b_c.png", "a_b_c.png"),
        ("a\r\nSet-Cookie: x=1.png", "a__Set-Cookie: x=1.png", "a__Set-Cookie: x=1.png"),
        ("evil\u202egnp.exe", "evil_gnp.exe.png", "evil_gnp.exe.png"),
        ("slash／and℀.png", "slash_anda_c.png", "slash／and℀.png"),
        ("\ud800.png", "?.png", "?.png"),
        ("", "file.png", "file.png"),
        ("...", "file.png", "file.png"),
        (".png", ".png.png", ".png.png"),
    ],
)
def test_a_name_survives_as_far_as_it_is_safe(given_name: str, fallback: str, name: str) -> None:
    ascii_name, full = parsed(given_name)
    assert full == name
    assert ascii_name == fallback


@pytest.mark.parametrize(
    ("given_name", "extension", "name"),
    [
        ("run.bat", "txt", "run.bat.txt"),
        ("run.bat. .", "txt", "run.bat.txt"),
        ("page.html", "txt", "page.html.txt"),
        ("photo.JPEG", "jpg", "photo.JPEG"),
        ("photo", "jpg", "photo.jpg"),
        ("report.pdf.exe", "pdf", "report.pdf.exe.pdf"),
        ("server.log", "txt", "server.log"),
    ],
)
def test_the_extension_is_one_that_the_proved_type_may_have(given_name: str, extension: str, name: str) -> None:
    assert parsed(given_name, extension)[1] == name


@pytest.mark.parametrize("letter", ["x", "ş", "🏖"])
def test_a_very_long_name_is_cut_and_keeps_its_extension(letter: str) -> None:
    _fallback, name = parsed(letter * 5000 + ".png")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name == letter * ((MAX_NAME_BYTES - 4) // len(letter.encode())) + ".png"


@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_name_breaks_the_header(name: str) -> None:
    _fallback, full = parsed(name, "txt")
    assert full.lower().endswith((".txt", ".text", ".log", ".md"))
    assert len(full.encode()) <= MAX_NAME_BYTES
    assert not re.search(r"[\x00-\x1f\x7f/\\]", full)
