"""Every common form of a change is read as the same event, and what is none is refused by name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.events.change import ChangeParser, ReadChanges
from cdc_users.observe.events.dialect import ChangeError, ProbePlace, change_of
from cdc_users.observe.events.value import CUSTOMERS, value_of

RUN = "dia00001"
BALANCE = Decimal("-1234.50")
UNSCALED = base64.b64encode((-123450).to_bytes(3, "big", signed=True)).decode()
VALUES = ["Ada", "L", "a@b.c", None, str(BALANCE), "2026-01-02T03:04:05Z", "n"]


def row(**changes: Any) -> dict[str, Any]:
    """A row of customers as its writer made it, with its probe."""
    made = [value_of(kind, value) for kind, value in zip(CUSTOMERS.values(), VALUES, strict=True)]
    probe = Probe(RUN, 10_001, 1, 1, 0, 1, 1, Operation.INSERT, 0, checksum(7, 1, made))
    columns = dict(zip(CUSTOMERS, VALUES, strict=True))
    return {"id": 7, **columns, "probe": format_probe(probe), **changes}


def envelope(of: dict[str, Any]) -> dict[str, Any]:
    return {"op": "c", "before": None, "after": of, "source": {"ts_ms": 5}}


def schema(scale: int) -> dict[str, Any]:
    balance = {
        "name": "org.apache.kafka.connect.data.Decimal",
        "parameters": {"scale": str(scale), "connect.decimal.precision": "12"},
        "field": "balance",
    }
    return {"fields": [{"field": "after", "fields": [{"field": "id"}, balance]}]}


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "envelope": envelope,
    "schema and payload": lambda of: {"schema": schema(2), "payload": envelope(of)},
    "cloud event": lambda of: {
        "specversion": "1.0",
        "iodebeziumop": "c",
        "iodebeziumtsms": "5",
        "data": {"schema": schema(2), "payload": {"before": None, "after": of}},
    },
    "cloud event around an envelope": lambda of: {"specversion": "1.0", "data": envelope(of)},
    "row": lambda of: {**of, "__op": "c", "__source_ts_ms": 5, "__deleted": "false"},
    "row in a payload": lambda of: {"schema": schema(2), "payload": of},
}


PLACE = ProbePlace({"probe"})


def parsed(document: Any, place: ProbePlace = PLACE) -> Any:
    change = change_of(orjson.loads(orjson.dumps(document)), place)
    read = ReadChanges([change], [1], 0, np.zeros(1, dtype=np.int64), 0)
    return ChangeParser(check_every=1).parse(read)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("balance", [str(BALANCE), UNSCALED, -1234.5])
def test_a_change_is_the_same_in_every_form(form: str, balance: Any) -> None:
    events = parsed(FORMS[form](row(balance=balance)))

    assert events.keys.tolist() == [7]
    assert events.probes == [row()["probe"].encode()]
    assert not events.deleted[0]
    assert events.checks.tolist() == [RowCheck.GOOD]


def test_a_decimal_beside_its_scale_is_read_too() -> None:
    events = parsed(envelope(row(balance={"scale": 2, "value": UNSCALED})))

    assert events.checks.tolist() == [RowCheck.GOOD]


@pytest.mark.parametrize("balance", ["-1234.51", "AAAA" * 400])
def test_another_value_is_corrupt_where_base64_could_stand_as_well(balance: str) -> None:
    assert parsed(envelope(row(balance=balance))).checks.tolist() == [RowCheck.CORRUPT]


@pytest.mark.parametrize("balance", ["null", UNSCALED[:-1] + "A"])
def test_what_base64_without_its_scale_stands_for_cannot_be_told(balance: str) -> None:
    assert parsed(envelope(row(balance=balance))).checks.tolist() == [RowCheck.UNCHECKABLE]


def test_a_row_without_an_envelope_says_that_it_was_deleted() -> None:
    events = parsed({**row(), "__deleted": True})

    assert events.deleted.tolist() == [True]
    assert events.probes == [row()["probe"].encode()]


@pytest.mark.parametrize("document", [7, "text", [], {}, {"payload": 3}, {"id": 1}, {"op": 1}])
def test_what_is_no_change_is_refused(document: Any) -> None:
    with pytest.raises(ChangeError, match=r"is no (change event|object)"):
        change_of(document, PLACE)


OWN = ProbePlace({"probe"}, ("record", "data", "note"))


def own_form(of: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """A form that no tool has, with the probe under another name."""
    renamed = {"note" if name == "probe" else name: value for name, value in of.items()}
    return {"record": {"data": renamed}, "action": "written", **beside}


@pytest.mark.parametrize(
    ("beside", "deleted"), [({}, False), ({"op": "u"}, False), ({"op": "delete"}, True)]
)
def test_a_form_of_ones_own_is_read_by_the_path_to_its_probe(
    beside: dict[str, Any], deleted: bool
) -> None:
    events = parsed(own_form(row(), **beside), OWN)

    assert events.keys.tolist() == [7]
    assert events.probes == [row()["probe"].encode()]
    assert events.deleted.tolist() == [deleted]
    assert events.checks.tolist() == [RowCheck.GOOD]


def test_a_known_form_is_read_beside_a_path() -> None:
    assert parsed(envelope(row()), OWN).probes == [row()["probe"].encode()]


@pytest.mark.parametrize(
    "document", [{}, {"record": 7}, {"record": {"data": {}}}, {"record": {"data": {"note": 5}}}]
)
def test_what_has_nothing_at_the_path_is_refused_by_the_path(document: Any) -> None:
    with pytest.raises(ChangeError, match=r"has nothing at record\.data\.note"):
        change_of(document, OWN)


def balance_with(parameters: object) -> dict[str, object]:
    name = "org.apache.kafka.connect.data.Decimal"
    return {"field": "balance", "name": name, "parameters": parameters}


@pytest.mark.parametrize(
    "told",
    [
        {"fields": None},
        {"fields": 5},
        {"fields": "after"},
        {"fields": [None, 1, "after"]},
        {"fields": [{"field": "after", "fields": None}]},
        {"fields": [balance_with([2])]},
        {"fields": [balance_with(None)]},
        {"fields": [balance_with({"scale": "--2"})]},
        {"fields": [balance_with({"scale": "9" * 5000})]},
        {"fields": [balance_with({"scale": "²"})]},
    ],
)
def test_a_schema_of_another_form_than_connects_takes_nothing_from_its_change(told: Any) -> None:
    change = change_of({"schema": told, "payload": envelope(row())}, PLACE)

    assert change == envelope(row())


def test_a_message_that_names_the_scales_itself_is_checked_like_any_other() -> None:
    """GIVEN messages with a key that only our reading of a schema gives."""
    for told in (3, None, [2], "x"):
        change = change_of({**envelope(row()), "scales of decimals": told}, PLACE)
        parser = ChangeParser(check_every=1)
        checks = parser.parse(ReadChanges([change], [1], 0, np.zeros(1, dtype=np.int64), 9)).checks

        assert checks is not None
        assert checks.tolist() == [RowCheck.GOOD]
