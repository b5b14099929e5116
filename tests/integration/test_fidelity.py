"""The page of what becomes of each type's values says what is seen."""

from __future__ import annotations

from pathlib import Path

from infra.stack.endpoints import Endpoints
from tests.integration.fidelity import PAGE, TYPES, observed, page


def test_the_page_says_what_becomes_of_each_types_values(stack: Endpoints, tmp_path: Path) -> None:
    found = observed(stack, tmp_path)

    assert len(found) == len(TYPES) >= 65
    assert PAGE.read_text(encoding="utf-8").splitlines() == page(found, stack.versions).splitlines()
