"""The glossary names places that are there, each word once and in order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^- \*\*([a-z ]+)\*\*: (.+?)\.$", re.MULTILINE | re.DOTALL)
ROWS = ENTRY.findall((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))


def test_every_word_lives_where_the_glossary_says() -> None:
    places = [place for _, text in ROWS for place in re.findall(r"`([^`]+/[^`]*)`", text)]

    assert len(ROWS) > 50
    assert len(places) >= len(ROWS)
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_words_stand_once_and_in_order() -> None:
    words = [word for word, _ in ROWS]

    assert words == sorted(set(words))
