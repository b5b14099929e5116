"""What an event's document says of columns that the source did not send."""

from __future__ import annotations

import pytest

from infra.platform.process.error import RefusedError
from infra.platform.sinks.webhook.document import documents
from tests.batches import Partition
from tests.change_events import Columns, Event

DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
COLUMNS: Columns = {
    "id": ("long", False),
    "name": ("string", False),
    "born": (DATE, False),
    "note": ("string", True),
}


def test_what_the_source_did_not_send_of_a_deleted_row_is_null_and_listed() -> None:
    batch = Partition(columns=COLUMNS).batch(
        [
            Event("d", 1, None, (1, "", 0, None)),
            Event("d", 2, None, (2, "Ada", 0, None)),
            Event("c", 3, (3, "", 0, None)),
        ]
    )

    sent_key, sent_row, created = documents(batch)

    assert sent_key["before"] == {"id": 1, "name": None, "born": None, "note": None}
    assert sent_key["not_sent"] == ["name", "born", "note"]
    assert (sent_row["before"] or {})["name"] == "Ada"
    assert (created["after"] or {})["name"] == ""
    assert "not_sent" not in sent_row | created


def test_a_number_that_is_no_date_refuses_its_event() -> None:
    batch = Partition(columns=COLUMNS).batch([Event("c", 1, (1, "", -2147472690, None))])

    with pytest.raises(RefusedError, match="are no date"):
        documents(batch)
