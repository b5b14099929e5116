"""The last lines of logs, however long they are."""

from __future__ import annotations

from pathlib import Path

from cdc_users.view.web.log_lines import MOST_BYTES, MOST_LINES, tail, tails


def test_every_log_is_named_by_who_wrote_it(tmp_path: Path) -> None:
    for place, name in (("stack", "kafka"), ("run", "observer")):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{name}.log").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "run" / "notes.txt").write_text("none", encoding="utf-8")

    assert tails({name: tmp_path / name for name in ("stack", "run", "gone")}) == {
        "stack: kafka": ["one", "two"],
        "run: observer": ["one", "two"],
    }


def test_a_long_log_gives_whole_lines_of_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    lines = [f"line {number:06} " + "x" * 200 for number in range(3 * MOST_BYTES // 200)]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = tail(path)

    assert len(found) <= MOST_LINES
    assert found == lines[-len(found) :]


def test_many_short_lines_are_cut_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("\n".join(map(str, range(1000))), encoding="utf-8")

    assert tail(path) == [str(number) for number in range(1000 - MOST_LINES, 1000)]


def test_a_log_that_is_gone_or_is_not_text_breaks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == []
    path.write_bytes(b"\xff\xfe ok\n")

    assert tail(path)[0].endswith(" ok")
