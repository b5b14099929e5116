"""What two looks at a run's servers and objects differ in, and under which name it is told."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import Any

import pytest

from cdc_users.pipeline.provision.condition import (
    NOBODY,
    Changes,
    Condition,
    RunObjects,
    TableCondition,
    broken,
    changes,
    look,
)
from infra.stack.endpoints import Endpoints

TABLE = TableCondition(16_390, 16_400, ("id bigint", "phone text", "probe text"))
WATCHED = RunObjects(
    slot="cdc_1", connector="cdc-1", publication="cdc_1", topics=("t",), tables=("s.customers",)
)
BEFORE = Condition(
    lives={"PostgreSQL": "10:00", "Kafka": "12 since 9"},
    slot="77 since 10:01",
    connector="RUNNING",
    topics={"t": "AbC"},
    leaders={"t[0]": 0},
    tables={"s.customers": TABLE},
    published=frozenset({"s.customers"}),
    operations=frozenset({"inserts", "updates", "deletes"}),
    kept_back={"s.customers": ""},
    cluster="7301",
)


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"connector": "FAILED java.io.IOException: no"}, "connector 'cdc-1' is FAILED java.io"),
        ({"connector": "PAUSED"}, "connector 'cdc-1' is PAUSED"),
        ({"slot": None}, "there is no replication slot 'cdc_1'"),
        ({"wal_lost": True}, "the WAL that slot 'cdc_1' needs was removed"),
        ({"topics": {"t": ""}}, "there is no topic 't'"),
        ({"tables": {"s.customers": None}}, "there is no source table s.customers"),
    ],
)
def test_what_is_broken_before_the_load_is_named(now: dict[str, Any], sentence: str) -> None:
    (said,) = broken(WATCHED, replace(BEFORE, **now))
    assert sentence in said


def test_a_pipeline_that_works_or_does_not_answer_now_is_not_broken() -> None:
    assert list(broken(WATCHED, BEFORE)) == []
    assert list(broken(WATCHED, Condition(silent={"Kafka": "Timeout"}))) == []


def found(**now: Any) -> Changes:
    return changes(WATCHED, BEFORE, replace(BEFORE, **now))


def test_what_stays_as_it_was_is_told_by_nobody() -> None:
    assert found() == Changes()
    assert found(kept_back={}) == found(kept_back={"s.other": "columns note"}) == Changes()
    assert (
        found(lives={}, topics={}, leaders={"t[0]": 0, "t[1]": 3}, tables={}, cluster="")
        == Changes()
    )


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"slot": None}, "replication slot 'cdc_1' was dropped"),
        ({"wal_lost": True}, "the WAL that slot 'cdc_1' needs was removed"),
        ({"slot": "", "connector": ""}, "nobody reads replication slot 'cdc_1' any more"),
        ({"connector": "PAUSED"}, "connector 'cdc-1' is PAUSED"),
        ({"connector": "deleted"}, "connector 'cdc-1' is deleted"),
        ({"connector": "FAILED java.io.IOException: no"}, "is FAILED java.io.IOException: no"),
        ({"topics": {"t": ""}}, "topic 't' was deleted"),
        ({"topics": {"t": "XyZ"}}, "topic 't' was deleted and created again"),
        ({"tables": {"s.customers": None}}, "source table s.customers was dropped or renamed"),
        ({"published": frozenset()}, "s.customers is not in publication 'cdc_1' any more"),
        (
            {"operations": frozenset({"inserts"})},
            "publication 'cdc_1' no longer publishes deletes and updates",
        ),
        (
            {"kept_back": {"s.customers": "columns note"}},
            "publication 'cdc_1' now leaves out of table s.customers columns note",
        ),
        ({"cluster": "7302"}, "another cluster (its system identifier was 7301 and is 7302)"),
        ({"silent": {"Kafka Connect": "Timeout"}}, "Kafka Connect does not answer (Timeout)"),
        ({"lives": {"Kafka": NOBODY}}, "Kafka has ended: nobody listens where it did"),
        ({"lives": {"Kafka": NOBODY}, "silent": {"Kafka": "no"}}, "Kafka does not answer (no)"),
    ],
)
def test_what_is_gone_for_good_is_named(now: dict[str, Any], sentence: str) -> None:
    (gone,) = found(**now).gone

    assert sentence in gone


@pytest.mark.parametrize(
    ("now", "name"),
    [
        ({"lives": {"PostgreSQL": "10:05", "Kafka": "12 since 9"}}, "PostgreSQL"),
        ({"lives": {"Kafka": "99 since 11"}, "leaders": {"t[0]": 2}}, "Kafka"),
    ],
)
def test_a_server_that_restarted_is_named_once_and_without_its_consequences(
    now: dict[str, Any], name: str
) -> None:
    assert found(**now).restarted == (name,)
    assert not found(**now).disturbed


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"leaders": {"t[0]": 1}}, "Kafka elected the leaders of t[0] again (a broker"),
        ({"slot": "91 since 10:07"}, "the capture (its connection to the replication slot) was"),
    ],
)
def test_what_began_again_behind_a_server_that_did_not_restart_is_no_restart_of_it(
    now: dict[str, Any], sentence: str
) -> None:
    """A broker that the controller misses for a while has not restarted."""
    assert not found(**now).restarted
    (disturbed,) = found(**now).disturbed
    assert disturbed.startswith(sentence)


def test_a_server_of_this_machine_is_its_process_and_nobody_once_that_has_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}/apis"
        endpoints = Endpoints("external", "", "192.0.2.1:9092", place, "http://connect.example")
        listening = look(endpoints, RunObjects()).lives
    assert listening["the schema registry"].startswith(f"{os.getpid()} since ")
    assert set(listening) == {"the schema registry"}, "those elsewhere are not known"

    assert look(endpoints, RunObjects()).lives == {"the schema registry": NOBODY}


def test_a_slot_that_nobody_has_read_yet_has_not_changed_hands() -> None:
    before = replace(BEFORE, slot="", connector="")

    assert changes(WATCHED, before, replace(before, slot="77 since 10:01")) == Changes()
    assert changes(WATCHED, before, before) == Changes()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (replace(TABLE, file=16_777), "somebody emptied or rewrote source table s.customers"),
        (replace(TABLE, columns=("id bigint", "probe text")), "it is now without phone text"),
        (
            replace(TABLE, columns=("id bigint", "phone bigint", "probe text")),
            "without phone text and with phone bigint",
        ),
        (
            replace(TABLE, oid=16_500, file=16_500, columns=("id bigint",)),
            "somebody dropped source table s.customers and created it again",
        ),
    ],
)
def test_what_a_third_party_does_to_the_source_is_named(
    table: TableCondition, sentence: str
) -> None:
    (disturbed,) = found(tables={"s.customers": table}).disturbed

    assert sentence in disturbed
