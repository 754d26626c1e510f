"""Every type of the contract's table, and every file that pretends to be one. Contract: section 5."""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from webchat_soap.domain.errors import EmptyFile, FileTypeMismatch, UnsupportedFileType
from webchat_soap.domain.file import FileType, ProvedType
from webchat_soap.files.sniff import MAX_PIXELS, content_types, prove

from . import hostile_files as hostile

SAMPLES = sorted(path for path in hostile.SAMPLES.glob("*/*") if path.is_file())
DEMO = Path(__file__).parents[2] / "webchat_soap" / "demo"
ProveBytes = Callable[..., ProvedType]
IMAGE, AUDIO, VIDEO, DOCUMENT = FileType


@pytest.fixture
def prove_bytes(tmp_path: Path) -> ProveBytes:
    def prove_them(data: bytes, *, declared: FileType | None = None, name: str | None = None) -> ProvedType:
        path = tmp_path / "spooled"
        path.write_bytes(data)
        return prove(path, declared=declared, original_name=name)

    return prove_them


def _family(path: Path) -> FileType:
    return FileType(path.parent.name.upper())


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


# ---- what is taken


@pytest.mark.parametrize("path", SAMPLES, ids=_id)
def test_a_sample_is_proved_in_its_family_and_by_itself(path: Path) -> None:
    declared = prove(path, declared=_family(path), original_name=path.name)
    alone = prove(path, declared=None, original_name=path.name)
    assert declared == alone
    assert alone.file_type is _family(path)
    assert "." + alone.extension == path.suffix
    assert alone.content_type in content_types(alone.file_type)


@pytest.mark.parametrize("path", SAMPLES, ids=_id)
def test_a_sample_is_a_mismatch_in_the_other_three_families(path: Path) -> None:
    for family in set(FileType) - {_family(path)}:
        with pytest.raises(FileTypeMismatch) as refused:
            prove(path, declared=family, original_name=path.name)
        proved = prove(path, declared=None, original_name=path.name)
        assert refused.value.declared_type == family.value
        assert refused.value.detected_type == f"{proved.file_type} ({proved.content_type})"
        assert f"send fileType {proved.file_type}, or leave fileType away" in refused.value.message


def test_every_type_of_the_table_has_a_sample() -> None:
    proved = {prove(path, declared=None, original_name=path.name).content_type for path in SAMPLES}
    listed = {content_type for family in FileType for content_type in content_types(family)}
    # HEIF without HEVC and AMR-WB have no encoder in Debian; tests below build them.
    assert listed - proved == {"image/heif", "audio/amr-wb"}


def test_the_limits_tell_media_types_in_the_order_of_the_table() -> None:
    assert content_types(IMAGE)[:4] == ("image/png", "image/jpeg", "image/gif", "image/webp")
    assert content_types(VIDEO) == (
        "video/mp4",
        "video/quicktime",
        "video/webm",
        "video/x-matroska",
        "video/x-msvideo",
        "video/3gpp",
        "video/ogg",
    )
    assert content_types(DOCUMENT)[0] == "application/pdf"
    assert content_types(DOCUMENT)[-2:] == ("text/plain", "text/csv")


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.parent.name == "image"], ids=_id)
def test_a_picture_tells_its_size(path: Path) -> None:
    proved = prove(path, declared=None, original_name=None)
    assert (proved.width, proved.height) == (24, 16)


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.parent.name == "audio"], ids=_id)
def test_a_sound_tells_its_length(path: Path) -> None:
    # Half a second; MP3 and AAC are padded by their encoders' delay.
    assert prove(path, declared=None, original_name=None).duration_milliseconds == pytest.approx(500, abs=150)


@pytest.mark.parametrize(
    "name",
    ["faststart.mp4", "moov_at_end.mp4", "clip.mov", "clip.webm", "clip.mkv", "clip.avi", "clip.ogv", "clip.3gp"],
)
def test_a_video_tells_its_size_and_length(name: str) -> None:
    proved = prove(hostile.SAMPLES / "video" / name, declared=VIDEO, original_name=None)
    assert (proved.width, proved.height) == ((176, 144) if name == "clip.3gp" else (48, 32))
    assert proved.duration_milliseconds == pytest.approx(1000, abs=250)


@pytest.mark.parametrize(
    ("name", "family"),
    [("picture.png", IMAGE), ("sound.mp3", AUDIO), ("video.mp4", VIDEO), ("document.pdf", DOCUMENT)],
)
def test_the_demo_media_are_what_they_say(name: str, family: FileType) -> None:
    path = DEMO / name
    assert prove(path, declared=family, original_name=name).extension == path.suffix[1:]
    assert path.stat().st_size < 100 * 1024


def test_the_demo_video_starts_before_it_is_loaded() -> None:
    data = (DEMO / "video.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


PDF = hostile.sample("document/text.pdf")
JPEG = hostile.sample("image/picture.jpg")
WAV = hostile.sample("audio/pcm.wav")
MP3 = hostile.sample("audio/plain.mp3")
MP4 = hostile.sample("video/moov_at_end.mp4")
ODD_BUT_HONEST: dict[str, tuple[bytes, str]] = {
    "a phone's motion photo": (JPEG + MP4, "image/jpeg"),
    "a JPEG with zeros behind it": (JPEG + bytes(512), "image/jpeg"),
    "a JPEG with a second picture behind it": (JPEG + JPEG, "image/jpeg"),
    "a JPEG with XMP": (
        hostile.jpeg_with_comment(b'<?xpacket?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'),
        "image/jpeg",
    ),
    "a GIF that forgot its trailer": (hostile.sample("image/picture.gif")[:-1], "image/gif"),
    "a PDF with junk before it": (b"\n\n junk\n" + PDF, "application/pdf"),
    "a PDF with 1,000 bytes of junk before it": (b"x" * 1000 + PDF, "application/pdf"),
    "a PDF with junk behind it": (PDF + b"\r\n" + b"x" * 1000, "application/pdf"),
    "a PDF with zeros behind it": (PDF + bytes(8192), "application/pdf"),
    "an updated PDF": (PDF + b"\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n", "application/pdf"),
    "a streamed WAV with 4 GiB as length": (
        WAV[:4] + b"\xff" * 4 + WAV[8:40] + b"\xff" * 4 + WAV[44:],
        "audio/wav",
    ),
    "a streamed WAV with zero as length": (WAV[:4] + bytes(4) + WAV[8:40] + bytes(4) + WAV[44:], "audio/wav"),
    "an MP3 with zeros before it": (bytes(2000) + MP3, "audio/mpeg"),
    "an MP3 with zeros behind its tag": (hostile.id3(bytes(100)) + bytes(700) + MP3, "audio/mpeg"),
    "an MP3 with a tag that is too short": (hostile.id3(b"x" * 100) + b"junk" * 9 + MP3, "audio/mpeg"),
    "an MP3 with an old tag behind it": (MP3 + b"TAG" + bytes(125), "audio/mpeg"),
    "AAC behind a tag": (hostile.id3(bytes(20)) + hostile.sample("audio/tone.aac"), "audio/aac"),
    "FLAC behind a tag": (hostile.id3(bytes(20)) + hostile.sample("audio/tone.flac"), "audio/flac"),
    "AMR-WB": (hostile.amr_wide(), "audio/amr-wb"),
    "an MP4 with a recorder's notes behind it": (MP4 + b"\0\x12\x34\x56note" + b"x" * 99, "video/mp4"),
    "an MP4 with zeros behind it": (MP4 + bytes(64), "video/mp4"),
    "a QuickTime older than brands": (
        hostile.sample("video/faststart.mp4")[32:],
        "video/quicktime",
    ),
    "a ZIP document with zeros behind it": (hostile.sample("document/text.docx") + bytes(16), "docx"),
    "a DOCX with an embedded sheet": (
        hostile.rezipped("document/text.docx", add={"word/embeddings/a.xlsx": hostile.sample("document/table.xlsx")}),
        "docx",
    ),
    "text in Windows-1252": ("Garçon, déjà vu – “naïve” €5".encode("cp1252"), "text/plain"),
    "text in UTF-8 with a mark": (b"\xef\xbb\xbf" + "merhaba dünya".encode(), "text/plain"),
    "big-endian UTF-16": (b"\xfe\xff" + "merhaba dünya".encode("utf-16-be"), "text/plain"),
    "text that begins like a bitmap": (b"BMW is a brand of cars", "text/plain"),
    "text that begins like a tag": (b"ID3 tags are small texts in front of an MP3", "text/plain"),
    "text that begins like a program": (b"MZ was a programmer", "text/plain"),
    "text that begins like RIFF": (b"RIFF and AIFF are containers of sound", "text/plain"),
    "text that tells of PDFs": (b"A PDF begins with %PDF-1.7 as we know", "text/plain"),
    "text that tells of HTML": (b"Please put <script src='x'></script> into your page", "text/plain"),
    "text with a heart": (b"<3 you", "text/plain"),
    "text of blanks": (b" \r\n\t\n", "text/plain"),
}


@pytest.mark.parametrize("what", ODD_BUT_HONEST)
def test_odd_but_honest_files_are_taken(what: str, prove_bytes: ProveBytes) -> None:
    data, expected = ODD_BUT_HONEST[what]
    proved = prove_bytes(data)
    assert expected in (proved.content_type, proved.extension)


def test_sound_and_picture_are_told_by_tracks_not_by_brand(prove_bytes: ProveBytes) -> None:
    m4a = hostile.sample("audio/tone.m4a")
    assert m4a[8:12] == b"M4A "
    for brand in (b"isom", b"mp42", b"3gp4", b"qt  "):
        assert prove_bytes(m4a[:8] + brand + m4a[12:]).content_type == "audio/mp4"
    assert prove_bytes(MP4[:8] + b"M4A " + MP4[12:]).content_type == "video/mp4"
    assert prove(hostile.SAMPLES / "audio/tone.weba", declared=AUDIO, original_name=None).extension == "weba"


def test_a_heif_picture_in_another_coding_is_plain_heif(prove_bytes: ProveBytes) -> None:
    heic = hostile.sample("image/picture.heic")
    other = heic.replace(b"ftypheic", b"ftypmif1").replace(b"hvc1", b"jpeg")
    assert prove_bytes(other) == replace(prove_bytes(heic), content_type="image/heif", extension="heif")


def test_csv_is_told_by_its_name_only(prove_bytes: ProveBytes) -> None:
    data = b"a,b\n1,2\n"
    assert prove_bytes(data, name="Liste.CSV").content_type == "text/csv"
    assert prove_bytes(data, name="liste.txt").content_type == "text/plain"
    assert prove_bytes(data, name=None).content_type == "text/plain"
    assert prove_bytes(hostile.sample("image/picture.png"), name="x.csv").content_type == "image/png"


def test_letters_across_chunk_borders_stay_whole(prove_bytes: ProveBytes) -> None:
    for shift in range(4):
        assert prove_bytes(b"x" * (256 * 1024 - shift) + "ğ€😀".encode() * 10).content_type == "text/plain"
        wide = b"\xff\xfe" + ("x" * (128 * 1024 - shift) + "ğ€😀" * 10).encode("utf-16-le")
        assert prove_bytes(wide).content_type == "text/plain"


# ---- what is not taken


def _truncated() -> dict[str, bytes]:
    """Every sample without its last quarter; those without a structural end stand in the exceptions."""
    endless = ("id3.mp3", "plain.mp3", "tone.aac", "tone.flac", "live.webm")
    return {
        _id(path): path.read_bytes()[: -max(4, path.stat().st_size // 4)]
        for path in SAMPLES
        if path.suffix not in (".txt", ".csv") and path.name not in endless
    }


TRUNCATED = _truncated()


@pytest.mark.parametrize("what", TRUNCATED)
def test_a_file_that_is_cut_short_is_refused_as_such(what: str, prove_bytes: ProveBytes) -> None:
    with pytest.raises(UnsupportedFileType, match="cut short"):
        prove_bytes(TRUNCATED[what])


@pytest.mark.parametrize("family", [None, *FileType])
def test_no_bytes_are_an_empty_file(family: FileType | None, prove_bytes: ProveBytes) -> None:
    with pytest.raises(EmptyFile):
        prove_bytes(b"", declared=family)


PNG = hostile.png()
GIF = hostile.sample("image/picture.gif")
ZIP = hostile.zipped({"a.txt": b"hello"})
VBA = {"word/vbaProject.bin": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"}
with_macros = hostile.rezipped("document/text.docx", add=VBA)
NEVER: dict[str, tuple[bytes, str | None]] = {
    "an ELF program": (hostile.elf(), "application/x-executable"),
    "a Windows program": (hostile.pe(), "application/vnd.microsoft.portable-executable"),
    "a Mac program": (b"\xcf\xfa\xed\xfe\x07\0\0\x01" + bytes(64), "application/x-mach-binary"),
    "a Java class": (b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(64), "application/java-vm"),
    "a shell script": (b"#!/bin/sh\nrm -rf /\n", "text/x-script"),
    "a shell script behind a mark": (b"\xef\xbb\xbf#!/bin/sh\n", "text/x-script"),
    "a script that begins like AMR": (b"#!AMR\nrm -rf /\n", "audio/amr"),
    "HTML": (hostile.HTML, "text/html"),
    "HTML behind blanks": (b"\n" * 70_000 + hostile.HTML, "text/html"),
    "HTML behind a mark": (b"\xef\xbb\xbf \t" + hostile.HTML, "text/html"),
    "HTML in UTF-16": (b"\xff\xfe" + hostile.HTML.decode().encode("utf-16-le"), "text/html"),
    "HTML in UTF-16 without a mark": (hostile.HTML.decode().encode("utf-16-be"), "text/html"),
    "HTML with a doctype": (b"<!DOCTYPE html>\n<p>x", "text/html"),
    "HTML with zero bytes": (b"<html>\0\0\0" + hostile.HTML, "text/html"),
    "SVG": (hostile.SVG, "image/svg+xml"),
    "SVG behind an XML declaration": (b"<?xml version='1.0'?>\n" + hostile.SVG, "image/svg+xml"),
    "XML": (b"<?xml version='1.0'?><a/>", "application/xml"),
    "text that opens with any tag": (b"<note>x</note>", "text/x-markup"),
    "PHP": (b"<?php system($_GET['c']); ?>", "application/x-php"),
    "PostScript": (b"%!PS-Adobe-3.0\n", "application/postscript"),
    "a ZIP": (ZIP, "application/zip"),
    "an empty ZIP": (hostile.zipped({}), "application/zip"),
    "a JAR": (hostile.jar(), "application/java-archive"),
    "an EPUB": (hostile.zipped({"mimetype": b"application/epub+zip"}), "application/epub+zip"),
    "a tar": (hostile.tar(), "application/x-tar"),
    "a tar.gz": (hostile.tar_gz(), "application/gzip"),
    "a RAR": (b"Rar!\x1a\x07\x01\0" + bytes(32), "application/vnd.rar"),
    "a 7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(32), "application/x-7z-compressed"),
    "a GIF with a ZIP": (GIF + ZIP, "image/gif"),
    "a GIF with a JAR": (GIF + hostile.jar(), "image/gif"),
    "a PNG with a ZIP": (PNG + ZIP, "image/png"),
    "a PNG with a ZIP inside": (hostile.png(8, 8, hostile.png_chunk(b"zzZz", ZIP)), "image/png"),
    "a PNG with HTML": (PNG + hostile.HTML, "image/png"),
    "a PNG with HTML in a text": (hostile.png(8, 8, hostile.png_chunk(b"tEXt", b"a\0" + hostile.HTML)), "image/png"),
    "a PNG with HTML in UTF-16": (PNG + hostile.HTML.decode().encode("utf-16-le"), "image/png"),
    "a PNG with a PDF": (PNG + PDF, "image/png"),
    "a PNG with a program": (PNG + hostile.pe(), None),
    "a PNG with a program inside": (hostile.png(8, 8, hostile.png_chunk(b"zzZz", hostile.pe())), "image/png"),
    "a PNG with an ELF program inside": (hostile.png(8, 8, hostile.png_chunk(b"zzZz", hostile.elf())), "image/png"),
    "a PNG with a tar.gz": (PNG + hostile.tar_gz(), "application/gzip"),
    "a JPEG with PHP": (hostile.jpeg_with_comment(b"<?php system($_GET['c']); ?>"), "image/jpeg"),
    "a JPEG with HTML": (hostile.jpeg_with_comment(hostile.HTML), "image/jpeg"),
    "a JPEG with a script behind it": (JPEG + b"\n#!/bin/sh\n", "image/jpeg"),
    "a BMP whose body is HTML": (hostile.bmp_fake(hostile.HTML), "image/bmp"),
    "letters BM and HTML": (b"BM" + hostile.HTML, "text/html"),
    "an MP3 whose tag is HTML": (hostile.id3(hostile.HTML) + MP3, "audio/mpeg"),
    "a tag and HTML": (hostile.id3(b"") + hostile.HTML, None),
    "letters GIF89a and a script": (b"GIF89a=1;<script>alert(1)</script>//", "image/gif"),
    "a WAV with HTML": (WAV[:4] + struct.pack("<I", len(WAV) + 72) + WAV[8:] + b"note" + bytes(4) + hostile.HTML, None),
    "a WAV with a ZIP": (WAV + ZIP, "audio/wav"),
    "an MP4 with a PDF in front": (hostile.box(b"free", PDF[:900]) + MP4, "video/mp4"),
    "a PDF that opens with HTML": (hostile.HTML + PDF, "application/pdf"),
    "a PDF that opens with a script": (b"#!/bin/sh\n" + PDF, "application/pdf"),
    "a PDF behind a program": (hostile.pe() + PDF, "application/pdf"),
    "a PDF with a ZIP behind it": (PDF + ZIP, "application/pdf"),
    "a picture of 60000 by 60000 pixels": (hostile.png(60_000, 60_000), "image/png"),
    "a picture of no pixels": (hostile.png(0, 5), "image/png"),
    "a DOCX with macros": (with_macros, None),
    "a DOCM": (
        hostile.zipped(
            {
                "[Content_Types].xml": b"<Types><Override PartName='/word/document.xml' ContentType="
                b"'application/vnd.ms-word.document.macroEnabled.main+xml'/></Types>",
                "word/document.xml": b"<w/>",
            }
        ),
        "application/vnd.ms-office.macroEnabled",
    ),
    "a DOCX with a Java class": (hostile.rezipped("document/text.docx", add={"A.class": b"x"}), None),
    "an ODT with a Basic module": (hostile.rezipped("document/text.odt", add={"Basic/Standard/M.xml": b"x"}), None),
    "an ODT with a script": (hostile.rezipped("document/text.odt", add={"Scripts/python/m.py": b"x"}), None),
    "a ZIP bomb as DOCX": (hostile.docx_bomb(), None),
    "a DOCX with overlapping entries": (hostile.overlapping_docx(), "application/zip"),
    "a DOCX behind other bytes": (
        b"PK\x03\x04" + bytes(60) + hostile.sample("document/text.docx"),
        "application/zip",
    ),
    "a DOCX with bytes behind it": (hostile.sample("document/text.docx") + hostile.HTML, "application/zip"),
    "a package of another Office": (hostile.zipped({"[Content_Types].xml": b"<Types/>"}), "application/zip"),
    "content types that unpack to much": (
        hostile.zipped({"[Content_Types].xml": bytes(8 * 1024 * 1024)}),
        "application/zip",
    ),
    "an installer (OLE)": (hostile.ole("Property", "\u4840\u3b3f"), "application/x-ole-storage"),
    "a mail (OLE)": (hostile.ole("__properties_version1.0"), "application/vnd.ms-outlook"),
    "a locked Office document": (hostile.ole("EncryptionInfo", "EncryptedPackage"), "application/x-ole-storage"),
    "a DOC with macros": (hostile.ole("WordDocument", "1Table", storages=("Macros",)), "application/msword"),
    "an XLS with macros": (hostile.ole("Workbook", storages=("_VBA_PROJECT_CUR",)), "application/vnd.ms-excel"),
    "a PPT with macros": (
        hostile.sample("document/slides.ppt") + bytes.fromhex("1f00ff0314000000020000040c0000000100000001000000"),
        "application/vnd.ms-powerpoint",
    ),
    "an OLE file of two kinds": (hostile.ole("WordDocument", "Workbook"), "application/x-ole-storage"),
    "a TIFF whose pages go in a circle": (hostile.huge_tiff_circle(), "image/tiff"),
    "text with control characters": (b"hello\x01\x02 world", None),
    "text with zero bytes": (b"hello\0world", None),
    "text in no encoding that is taken": (b"caf\xe9 \x81\x8d", None),
    "half a UTF-16 character": (b"\xff\xfeh\0e", None),
    "random bytes": (random.Random(1).randbytes(5000), None),
    "zeros": (bytes(5000), None),
    "one byte": (b"\x81", None),
    "an MPEG stream": (b"\0\0\x01\xba" + bytes(64), "video/mpeg"),
    "a Windows Media file": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(64), "video/x-ms-asf"),
    "an icon": (b"\0\0\x01\0\x01\0" + bytes(64), "image/vnd.microsoft.icon"),
    "AIFF": (b"FORM\0\0\0\x20AIFFCOMM" + bytes(32), "audio/aiff"),
    "sound in Matroska": (
        hostile.sample("audio/tone.weba")
        .replace(b"\x42\x82\x84webm", b"\x42\x82\x88matroska")
        .replace(b"\x1a\x45\xdf\xa3\x9f", b"\x1a\x45\xdf\xa3\xa3"),
        "audio/x-matroska",
    ),
    "an MP4 without tracks": (
        hostile.box(b"ftyp", b"isom\0\0\0\0isom") + hostile.box(b"moov") + hostile.box(b"mdat", b"x"),
        "video/mp4",
    ),
}


@pytest.mark.parametrize("declared", [None, IMAGE])
@pytest.mark.parametrize("what", NEVER)
def test_what_is_never_taken_is_refused_by_name(what: str, declared: FileType | None, prove_bytes: ProveBytes) -> None:
    data, detected = NEVER[what]
    with pytest.raises(UnsupportedFileType) as refused:
        prove_bytes(data, declared=declared, name="invoice.csv")
    if detected is not None:
        assert refused.value.detected_type == detected
    assert "send" in refused.value.message or "smaller" in refused.value.message


def test_a_picture_too_big_to_show_is_refused_with_its_numbers(prove_bytes: ProveBytes) -> None:
    with pytest.raises(UnsupportedFileType) as refused:
        prove_bytes(hostile.png(60_000, 60_000), declared=IMAGE)
    assert (refused.value.limit, refused.value.actual) == (MAX_PIXELS, 3_600_000_000)
    assert "60000 x 60000" in refused.value.message
    assert prove_bytes(hostile.png(16_384, 16_384)).width == 16_384


def test_a_zip_bomb_is_refused_by_its_numbers_without_unpacking(prove_bytes: ProveBytes) -> None:
    data = hostile.docx_bomb()
    tracemalloc.start()
    with pytest.raises(UnsupportedFileType) as refused:
        prove_bytes(data, declared=DOCUMENT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.actual is not None
    assert refused.value.actual > 96 * 1024 * 1024
    assert peak < 4 * 1024 * 1024


def test_a_mismatch_reads_as_the_contract_promises(prove_bytes: ProveBytes) -> None:
    with pytest.raises(FileTypeMismatch) as refused:
        prove_bytes(MP4, declared=IMAGE)
    assert refused.value.message == (
        "Declared IMAGE, but the bytes are video/mp4 (VIDEO): send fileType VIDEO, or leave fileType away."
    )
    assert (refused.value.declared_type, refused.value.detected_type) == ("IMAGE", "VIDEO (video/mp4)")


# ---- cost


def test_a_big_text_costs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_bytes(("ş satır\n" * 1000).encode() * 4000)
    prove(path, declared=None, original_name=None)
    tracemalloc.start()
    proved = prove(path, declared=DOCUMENT, original_name=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert proved.content_type == "text/plain"
    assert peak < 4 * 1024 * 1024


def test_a_big_video_is_proved_in_a_fraction_of_the_time_its_hash_takes(tmp_path: Path) -> None:
    path = tmp_path / "big.mp4"
    movie = hostile.sample("video/moov_at_end.mp4")
    path.write_bytes(movie + hostile.box(b"mdat", bytes(64 * 1024 * 1024)))
    started = time.process_time()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    hashed = time.process_time()
    assert prove(path, declared=VIDEO, original_name=None).content_type == "video/mp4"
    assert time.process_time() - hashed < (hashed - started) / 2


COSTLY: dict[str, bytes] = {
    "a PNG of countless empty chunks": hostile.png(8, 8, hostile.png_chunk(b"zzZz", b"") * 300_000),
    "a GIF of countless blocks": GIF[:-1] + (b"!\xfe\x01a\0" * 600_000) + b";",
    "a JPEG of countless scans": JPEG[:-2] + (b"\xff\xda\0\x02") * 500_000 + b"\xff\xd9",
    "an MP4 of countless boxes": MP4 + hostile.box(b"free") * 500_000,
    "boxes of no size": hostile.box(b"ftyp", b"isom\0\0\0\0isom") + bytes(1_000_000),
    "a WebM of countless elements": (
        b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * 500_000
    ),
    "a WAV of countless chunks": WAV[:36] + (b"note" + bytes(4)) * 400_000 + WAV[36:],
    "an OLE file whose directory goes in a circle": hostile.ole("WordDocument").replace(
        struct.pack("<II", 0xFFFFFFFD, 0xFFFFFFFE), struct.pack("<II", 0xFFFFFFFD, 1)
    ),
    "tags before tags": hostile.id3(b"") * 100_000 + MP3,
    "FF everywhere": b"\xff\xfb\x90" * 1_000_000,
    "override without end": hostile.zipped({"[Content_Types].xml": b"<Override " * 90_000}),
    "a TIFF of many pages": b"II*\0" + struct.pack("<I", 8) + (b"\x01\0" + bytes(12) + struct.pack("<I", 8)) * 50_000,
}


@pytest.mark.parametrize("what", COSTLY)
def test_no_file_can_keep_the_sniffer_busy(what: str, prove_bytes: ProveBytes) -> None:
    started = time.process_time()
    with contextlib.suppress(UnsupportedFileType):
        prove_bytes(COSTLY[what])
    # The budget of reads is a fifth of a second; an endless or quadratic loop would take minutes.
    assert time.process_time() - started < 15


def test_without_libmagic_the_samples_are_proved_all_the_same() -> None:
    script = (
        "import sys\n"
        "sys.modules['magic'] = None\n"  # import then raises ImportError, as python-magic does without libmagic.
        "from pathlib import Path\n"
        "from webchat_soap.files.sniff import prove\n"
        "for path in sys.argv[1:]:\n"
        "    print(prove(Path(path), declared=None, original_name=path).content_type)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, SAMPLES)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [prove(path, declared=None, original_name=path.name).content_type for path in SAMPLES]
