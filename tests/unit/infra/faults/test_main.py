"""The catalogue is what the declarations say."""

from __future__ import annotations

from infra.faults.__main__ import WIDTH, page
from infra.faults.fault import faults
from infra.stack.supervise.state import CHECKOUT


def test_the_page_is_what_the_declarations_say() -> None:
    written = (CHECKOUT / "docs" / "faults.md").read_text(encoding="utf-8")

    assert written == page() + "\n", "run `python -m infra.faults > docs/faults.md`"


def test_every_fault_has_its_entry_and_no_line_is_too_long() -> None:
    lines = page().splitlines()

    assert [name for name in faults().by_name if f"## {name}" not in lines] == []
    assert [line for line in lines if len(line) > WIDTH] == []
