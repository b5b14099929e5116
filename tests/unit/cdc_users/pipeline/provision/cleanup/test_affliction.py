"""A fault is undone from the journal alone, before the objects that it was done to are removed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cdc_users.pipeline.provision.cleanup import affliction
from cdc_users.pipeline.provision.cleanup.affliction import FAULT, Affliction, undo, undo_faults
from cdc_users.pipeline.provision.cleanup.journal import Entry, Journal
from cdc_users.pipeline.provision.cleanup.removal import remove_all
from infra.faults.fault import FaultObjects
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.servers.probe import ServerProbe

OBJECTS = FaultObjects(schema="cdc_1", tables=("customers",), slot="cdc_1", sink_table="a.b")
#: Servers of the user's own that are not there: nothing can be done to them.
NOWHERE = Endpoints(
    "external", "host=127.0.0.1 port=1", "127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"
)
#: A stack whose supervisor is dead: what was in it is gone.
GONE = Endpoints("process", "", "", "", "", supervisor_pid=2**22 + 1, supervisor_started_s=1.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.create(tmp_path / "run.jsonl", "run00001", NOWHERE)
    yield made
    made.close()


def noted(journal: Journal, fault: str) -> str:
    text = Affliction(fault, OBJECTS).as_text()
    journal.add(FAULT, text)
    return text


def test_what_the_journal_keeps_is_the_fault_with_what_it_was_done_to() -> None:
    back = Affliction.of_text(Affliction("add-column", OBJECTS).as_text())

    assert (back.fault, back.objects) == ("add-column", OBJECTS)


def test_a_preparation_is_kept_as_one_and_undone_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Affliction("kill-primary", FaultObjects(), prepared=True).as_text()
    acts: list[str] = []
    monkeypatch.setattr(
        "infra.faults.fault.faults",
        lambda: SimpleNamespace(
            by_name={
                "kill-primary": SimpleNamespace(
                    restore=lambda _: acts.append("restored"), heal=lambda _: acts.append("healed")
                )
            }
        ),
    )

    undo(NOWHERE, text)
    undo(NOWHERE, Affliction("kill-primary", FaultObjects()).as_text())

    assert acts == ["restored", "healed"]


def test_a_fault_that_this_version_does_not_know_is_left_alone() -> None:
    undo(NOWHERE, Affliction("of-another-version", OBJECTS).as_text())


def test_faults_of_a_stack_that_is_gone_are_gone_with_it(journal: Journal) -> None:
    noted(journal, "pause-kafka")

    assert undo_faults(journal, GONE) == []
    assert journal.entries() == []


def test_what_cannot_be_undone_is_told_and_stays_for_the_next_time(journal: Journal) -> None:
    text = noted(journal, "kill-kafka")

    (problem,) = undo_faults(journal, NOWHERE)

    assert "kafka is not a server that this checkout has started" in problem
    assert journal.entries() == [Entry(FAULT, text)]


def test_the_last_fault_is_undone_first(journal: Journal) -> None:
    for fault in ("kill-kafka", "pause-postgres"):
        noted(journal, fault)

    problems = undo_faults(journal, NOWHERE)

    assert ["postgres" in problem for problem in problems] == [True, False]


def test_one_that_needs_nothing_undone_goes_although_its_server_is_silent(
    journal: Journal,
) -> None:
    noted(journal, "lock-sink-table")  # the lock died with the session that held it

    assert undo_faults(journal, NOWHERE) == []
    assert journal.entries() == []


def test_after_a_fault_every_server_is_waited_for_although_one_stays_silent(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry answers at the third attempt; Connect never does."""
    asked: list[str] = []

    def ask(server: str) -> None:
        asked.append(server)
        if server == "connect" or asked.count(server) < 3:
            raise StackError(f"{server} is fenced")

    monkeypatch.setattr(
        affliction,
        "probes",
        lambda _: {
            name: ServerProbe(name, place, functools.partial(ask, name))
            for name, place in (("kafka", ""), ("registry", "here"), ("connect", "here"))
        },
    )
    monkeypatch.setattr(affliction, "ANSWER_S", 0.5)
    noted(journal, "lock-sink-table")

    assert undo_faults(journal, replace(NOWHERE, kind="process")) == []
    assert asked.count("registry") == 3
    assert {"kafka", "connect"} & set(asked) == {"connect"}


def test_faults_are_undone_before_any_object_is_removed(journal: Journal) -> None:
    journal.add("topic", "cdc.a")
    noted(journal, "kill-kafka")
    removed: list[str] = []

    problems = remove_all(journal, NOWHERE, remover=lambda entry, _: removed.append(entry.kind))

    assert removed == ["topic"]
    assert [problem for problem in problems if "kafka" in problem] == problems
