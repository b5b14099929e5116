"""A journal outlives its run until its last object is gone; while its owner lives it is taken."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

import pytest

from cdc_users.error import TargetError
from cdc_users.pipeline.provision.cleanup.journal import Entry, Journal, abandoned
from cdc_users.pipeline.provision.cleanup.removal import remove_all
from infra.stack.endpoints import Endpoints

ELSEWHERE = Endpoints("external", "host=db", "kafka:9092", "http://registry", "http://connect")
SLOT, TOPIC, GROUP = Entry("slot", "cdc_1"), Entry("topic", "cdc.t"), Entry("group", "cdc-1")


def journal(place: Path, *entries: Entry) -> Journal:
    made = Journal.create(place / "abcd1234.jsonl", "abcd1234", ELSEWHERE)
    for entry in entries:
        made.add(entry.kind, entry.name)
    return made


def test_a_journal_is_abandoned_only_when_nobody_holds_it(tmp_path: Path) -> None:
    owned = journal(tmp_path, SLOT)
    assert list(abandoned(tmp_path)) == []

    owned.close()
    (found,) = abandoned(tmp_path)
    assert found.entries() == [SLOT]
    assert list(abandoned(tmp_path)) == []
    head = found.head()
    assert head is not None
    assert (head.run, head.endpoints) == ("abcd1234", ELSEWHERE)
    found.close()


def test_the_name_of_a_journal_is_on_disk_before_its_first_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    owned = Journal.create(tmp_path / "abcd1234.jsonl", "abcd1234", ELSEWHERE)

    assert synced == [str(owned.path), str(tmp_path)]
    owned.close()


def test_a_journal_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def found_unlocked_by_another_run(file: IO[bytes], how: int) -> None:
        monkeypatch.undo()
        (tmp_path / "abcd1234.jsonl").unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", found_unlocked_by_another_run)
    owned = journal(tmp_path, SLOT)

    assert owned.path.exists()
    assert owned.entries() == [SLOT]
    owned.close()


def test_what_is_gone_is_no_entry_and_the_file_goes_with_the_last_one(tmp_path: Path) -> None:
    owned = journal(tmp_path, SLOT, TOPIC, SLOT)
    owned.gone(SLOT)
    assert sorted(owned.entries(), key=str) == sorted([SLOT, TOPIC], key=str)
    for entry in owned.entries():
        owned.gone(entry)

    owned.close()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_short_ends_the_journal(tmp_path: Path) -> None:
    owned = journal(tmp_path, SLOT)
    with owned.path.open("ab") as file:
        file.write(b'{"kind": "top')

    assert owned.entries() == [SLOT]
    owned.close()


def test_one_object_that_resists_stays_and_stops_no_other(tmp_path: Path) -> None:
    owned, removed = journal(tmp_path, SLOT, TOPIC, GROUP), []

    def remover(entry: Entry, _: Endpoints) -> None:
        if entry == TOPIC:
            raise TargetError("the broker says no")
        removed.append(entry)

    assert remove_all(owned, ELSEWHERE, remover=remover) == ["topic 'cdc.t': the broker says no"]
    assert removed == [GROUP, SLOT]
    assert owned.entries() == [TOPIC]
    owned.close()


def test_a_server_that_does_not_answer_costs_one_wait_for_all_its_objects(tmp_path: Path) -> None:
    owned, asked = journal(tmp_path, SLOT, Entry("publication", "cdc_1"), TOPIC), []

    def remover(entry: Entry, _: Endpoints) -> None:
        asked.append(entry.kind)
        if entry.kind != "topic":
            raise ConnectionRefusedError("refused")

    problems = remove_all(owned, ELSEWHERE, remover=remover)

    assert asked == ["topic", "publication"]
    assert problems[-1] == "slot 'cdc_1': PostgreSQL does not answer"
    assert [entry.kind for entry in owned.entries()] == ["slot", "publication"]
    owned.close()


@pytest.mark.parametrize("error", [TimeoutError("no answer"), ValueError("409")])
def test_the_slot_of_a_connector_that_is_left_is_removed_again_by_the_next_run(
    tmp_path: Path, error: Exception
) -> None:
    """Connect stands still: when it goes on, its connector finds no slot, and makes one."""
    connector = Entry("connector", "cdc-1")
    owned, asked = journal(tmp_path, TOPIC, SLOT, connector), []

    def remover(entry: Entry, _: Endpoints) -> None:
        asked.append(entry)
        if entry == connector and asked.count(connector) == 1:
            raise error

    assert remove_all(owned, ELSEWHERE, remover=remover) == [f"connector 'cdc-1': {error}"]
    assert owned.entries() == [SLOT, connector]

    assert remove_all(owned, ELSEWHERE, remover=remover) == []
    assert asked == [connector, SLOT, TOPIC, connector, SLOT]
    assert owned.entries() == []
    owned.close()


def test_what_is_noted_behind_a_line_that_was_cut_short_is_kept(tmp_path: Path) -> None:
    owned = journal(tmp_path, SLOT)
    with owned.path.open("ab") as file:
        file.write(b'{"kind": "top')
    owned.close()
    (successor,) = abandoned(tmp_path)

    successor.add(GROUP.kind, GROUP.name)
    assert successor.entries() == [SLOT, GROUP]
    successor.gone(SLOT)
    successor.gone(GROUP)

    assert successor.entries() == []
    successor.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_made_again_after_it_was_gone_is_an_entry_again(tmp_path: Path) -> None:
    owned = journal(tmp_path, SLOT)
    owned.gone(SLOT)
    owned.add(SLOT.kind, SLOT.name)

    assert owned.entries() == [SLOT]
    owned.close()


@pytest.mark.parametrize("text", [b"", b'{"run": "abcd1234", "endp', b"[]\n", b"\xff\xfe\n"])
def test_a_journal_without_a_whole_head_names_no_servers(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "abcd1234.jsonl"
    path.write_bytes(text)

    (found,) = abandoned(tmp_path)

    assert found.head() is None
    assert found.entries() == []
    found.close()
    assert not path.exists()


def test_names_may_hold_whatever_a_line_ends_with(tmp_path: Path) -> None:
    odd = Entry("topic", "größe\r\n\u2028:#,\x85")

    owned = journal(tmp_path, odd, SLOT)

    assert owned.entries() == [odd, SLOT]
    owned.close()


def test_only_journals_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    assert list(abandoned(tmp_path)) == []
    assert list(abandoned(tmp_path / "nowhere")) == []
    assert Journal.take_over(tmp_path / "nowhere.jsonl") is None
