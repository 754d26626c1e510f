"""All words of the console stand in its catalogues, one a language, and nowhere else."""

from __future__ import annotations

import json
import re

import pytest

from tests.browser.console_fake import STATIC

TEMPLATE = STATIC.parents[1] / "templates" / "agent" / "console.html"
WEB = STATIC.parents[1]
MODULES = sorted(STATIC.glob("*.js"))
CATALOGUES = {language: json.loads((STATIC / f"{language}.json").read_text()) for language in ("en", "tr")}

_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)
_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')


def source(module) -> str:
    return _COMMENT.sub("", module.read_text())


def test_both_languages_have_the_same_words() -> None:
    assert CATALOGUES["en"].keys() == CATALOGUES["tr"].keys()


@pytest.mark.parametrize("key", sorted(CATALOGUES["en"]))
def test_a_sentence_fills_in_the_same_in_both(key: str) -> None:
    if key.startswith("error."):
        return  # in English the service's own sentence stands, in Turkish the catalogue's with the fault's numbers
    found = [sorted(re.findall(r"\{\w+\}", words[key])) for words in CATALOGUES.values()]
    assert found[0] == found[1]


def test_what_is_shown_is_in_the_catalogue() -> None:
    used = set(re.findall(r"""catalogue\[['"]([\w.-]+)['"]\]""", TEMPLATE.read_text()))
    for module in MODULES:
        used |= set(re.findall(r'\b(?:t|many|say)\(\s*"([\w.-]+)"', source(module)))
    known = CATALOGUES["en"]
    assert {key for key in used if key not in known and f"{key}.other" not in known} == set()


def test_the_catalogue_has_nothing_that_nobody_shows() -> None:
    others = [*TEMPLATE.parent.glob("*.html"), *(WEB / name for name in ("agent_pages.py", "console_transcript.py"))]
    text = "".join(other.read_text() for other in others) + "".join(source(module) for module in MODULES)
    # Made of two parts in the code: a family of words and one of its members.
    made = ("error.", "local.", "keys.", "key.", "kind.", "family.", "list.empty.", "theme.", "saved.")
    unused = {key for key in CATALOGUES["en"] if key.removesuffix(".one").removesuffix(".other") not in text}
    assert {key for key in unused if not key.startswith(made)} == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_words_stand_in_the_code(module) -> None:
    sentences = []
    for quoted, template in _LITERAL.findall(source(module)):
        text = re.sub(r"\$\{[^}]*\}", "", quoted or template)
        # Two words of letters behind one another, or one with a capital letter, are for people.
        if re.search(r"[A-Za-zğışöçü]{2,} [a-zğışöçü]{2,}", text) or re.fullmatch(r"[A-Z][a-z]{2,}[.!…]?", text):
            sentences.append(text)
    allowed = {
        "Enter",
        "Escape",
        "Shift",
        "Alt",
        "Files",
        "Key",
        "Notification",
        "Internal",
        "Unauthorized",  # what browsers and the service say
    }
    for_machines = re.compile(
        r"noopener.*|no word for |image .*|button:.*|\(min-width.*|textarea, .*|"
        r"(?:tool|chip|file|message|row|line|bubble|quiet|viewer|ended|paper|menu)[\w -]*"
    )
    assert [text for text in sentences if text not in allowed and not for_machines.fullmatch(text)] == []


def test_every_module_is_asked_for_with_the_page() -> None:
    asked = set(re.search(r"for module in \[(.*?)\]", TEMPLATE.read_text())[1].replace('"', "").split(", "))
    assert asked == {module.stem for module in MODULES} - {"main", "theme"}


def test_no_words_stand_in_the_template() -> None:
    html = re.sub(
        r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<svg class=\"sprite\".*?</svg>", "", TEMPLATE.read_text(), flags=re.DOTALL
    )
    texts = [text.strip() for text in re.findall(r">([^<>]+)<", html)]
    assert [text for text in texts if re.search(r"\w", text)] == []
    labels = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]+)"', html)
    assert labels == []
    assert re.findall(r'\s(?:style|on\w+)="', html) == []
