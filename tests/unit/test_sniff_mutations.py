"""Whatever the bytes: a proved type or a fault of the service's own, never anything else. Contract: section 5."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.file import FileType
from webchat_soap.files.sniff import content_types, prove

from . import hostile_files as hostile

SAMPLES = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(hostile.SAMPLES.glob("*/*"))}
NUMBERS = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\1",
    b"\1\0\0\0",
)


def mutate(data: bytes, seed: int) -> bytes:
    """Flip, overwrite, cut out, double or cut off, a few times, mostly near the beginning where headers stand."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not changed:
            break
        at = min(int(chance.random() ** 3 * len(changed)), len(changed) - 1)
        match chance.randrange(6):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.randrange(256)
            case 2:
                number = chance.choice(NUMBERS)
                changed[at : at + len(number)] = number
            case 3:
                del changed[at : at + chance.randint(1, 64)]
            case 4:
                changed[at:at] = changed[at : at + chance.randint(1, 64)]
            case _:
                del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


def outcome(path: Path, data: bytes, declared: FileType | None) -> str:
    path.write_bytes(data)
    try:
        proved = prove(path, declared=declared, original_name="a.csv")
    except WebchatError as fault:
        return fault.code
    assert declared in (None, proved.file_type)
    assert proved.content_type in content_types(proved.file_type)
    assert proved.width is None or proved.width > 0
    assert proved.height is None or proved.height > 0
    assert proved.duration_milliseconds is None or proved.duration_milliseconds > 0
    return proved.extension


@pytest.fixture(scope="module")
def spooled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutations") / "spooled"


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(SAMPLES)), seed=st.integers(0, 2**32), declared=st.sampled_from([None, *FileType]))
def test_a_damaged_sample_is_proved_or_refused_properly(
    name: str, seed: int, declared: FileType | None, spooled: Path
) -> None:
    outcome(spooled, mutate(SAMPLES[name], seed), declared)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(SAMPLES)), body=st.binary(max_size=300), kept=st.integers(1, 48))
def test_a_true_beginning_with_any_body_is_proved_or_refused_properly(
    name: str, body: bytes, kept: int, spooled: Path
) -> None:
    outcome(spooled, SAMPLES[name][:kept] + body, None)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_truncation_near_the_head_is_proved_or_refused_properly(name: str, spooled: Path) -> None:
    data = SAMPLES[name]
    codes = {outcome(spooled, data[:length], None) for length in range(1, min(len(data), 120))}
    assert codes - {"txt", "csv"} <= {"UnsupportedFileType", Path(name).suffix[1:], "mp3", "aac"}
