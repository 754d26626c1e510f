"""How agents' names and passwords are written: domain.agents."""

from __future__ import annotations

import pytest

from webchat_soap.domain.agents import (
    MAX_AGENT_NAME,
    MAX_PASSWORD,
    agent_name_key,
    check_agent_name,
    check_new_password,
    normal_password,
)
from webchat_soap.domain.errors import InvalidRequest


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ayşe", "Ayşe"),
        ("  Ayşe   Yılmaz \n", "Ayşe Yılmaz"),
        ("Ays\u0327e", "Ayşe"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("Zoë 🙂", "Zoë 🙂"),
        ("a" * MAX_AGENT_NAME, "a" * MAX_AGENT_NAME),
        ("😀" * MAX_AGENT_NAME, "😀" * MAX_AGENT_NAME),
    ],
)
def test_a_name_is_kept_as_people_write_it(given: str, kept: str) -> None:
    assert check_agent_name(given) == kept


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("\u200d\u200c", "is empty"),
        ("a" * (MAX_AGENT_NAME + 1), "101 characters"),
        ("a" * 1_000_000, "1,000,000 characters"),
        ("a\x00b", r"U\+0000 at position 2"),
        ("a\tb", r"U\+0009"),
        ("a\r\nSet-Cookie: x=y", r"U\+000D"),
        ("a\x7f", r"U\+007F"),
        ("evil\u202eexe", r"U\+202E at position 5"),
        ("a\u2066b", r"U\+2066"),
        ("a\u2028b", r"U\+2028"),
        ("a\u200bb", r"U\+200B"),
        ("\ufeffa", r"U\+FEFF at position 1"),
        ("a\ud800", r"U\+D800"),
        ("a\ue000", r"U\+E000"),
        ("CUSTOMER", "somebody else"),
    ],
)
def test_a_name_that_would_mislead_people_is_refused_and_told_why(given: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        check_agent_name(given)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    "names",
    [
        ("Ayşe", "AYŞE", "ayşe", "Ays\u0327e", " ayşe "),
        ("İnci", "inci", "INCI", "ıncı", "İNCİ"),
        ("Straße", "STRASSE"),
        ("ﬁn", "FIN"),
        ("a\u200db", "AB"),
        ("Ａyşe", "ayşe"),
    ],
)
def test_names_that_look_alike_in_any_case_are_one(names: tuple[str, ...]) -> None:
    assert len({agent_name_key(name) for name in names}) == 1


def test_names_that_people_tell_apart_are_two() -> None:
    assert len({agent_name_key(name) for name in ("Ayşe", "Ayse", "Ayşe 2", "Ay şe")}) == 4


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("short", "fewer than 12"),
        ("a" * 1001, "more than 1,000"),
        ("a" * 50, "too few different"),
        ("abc\x00defghijkl", "control character"),
        ("Ayşe Yılmazoğlu", "is the agent's name"),
        ("AYŞE YILMAZOĞLU", "is the agent's name"),
    ],
)
def test_a_password_that_is_no_good_is_refused_without_being_repeated(given: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        check_new_password(given, name="Ayşe Yılmazoğlu")
    assert given not in caught.value.message


def test_a_password_is_the_same_on_every_keyboard() -> None:
    composed, apart = "şifrem-çok-uzun", "s\u0327ifrem-c\u0327ok-uzun"
    assert normal_password(apart) == check_new_password(composed, name="x") == composed
    assert check_new_password("🙂🙃😀😁" * 3, name="x")
    assert check_new_password("abcd" * (MAX_PASSWORD // 4), name="x")
