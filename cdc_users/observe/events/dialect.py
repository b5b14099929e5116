"""Reads the JSON forms in which pipelines write a change into one form: an object with op, before
and after. Pure.

The forms are Debezium's envelope, bare or as `payload` beside its `schema` (JsonConverter's
default); CloudEvents in structured mode (CloudEventsConverter); and rows without an envelope
(ExtractNewRecordState), with the operation in `__op` and `__deleted` if they have these. For a row
in any other form, the user gives the path to its probe.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A change as pipelines write it in JSON, in any of the forms.
ObservedChange = dict[str, Any]
#: The schema that JsonConverter writes beside a value: Connect's schema as JSON.
ConnectSchema = Mapping[str, Any]
#: Where CloudEventsConverter writes the operation, and the time at the source.
_CLOUD_OP, _CLOUD_TIME = "iodebeziumop", "iodebeziumtsms"
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_SCALE = re.compile(r"-?[0-9]{1,4}")

#: The operations of events without a row, such as the truncation of a table.
NO_ROW = "t"
#: The names of a delete.
DELETES = frozenset({"d", "delete"})


class ChangeError(ValueError):
    """JSON that is no change event; the message has the reason."""


@dataclass(frozen=True, slots=True)
class ProbePlace:
    """Where a message has its probe: in one of the `columns` of its row; in a form of the user's
    own at the `path`, the names of nested objects from the outside in.
    """

    columns: Collection[str]
    path: tuple[str, ...] = ()


def change_of(document: Any, place: ProbePlace) -> ObservedChange:
    """A document's change; raises ChangeError for a document in none of the forms."""
    if not isinstance(document, dict):
        raise ChangeError(
            f"{str(document)[:100]!r} is no change event: an object with op, before and after is"
            " needed"
        )
    if place.path and (row := _row_at(document, place)) is not None:
        return _of_own_form(document, row)
    if isinstance(payload := document.get("payload"), dict) and "op" not in document:
        schema = document.get("schema")
        change = change_of(payload, place)
        return with_scales(change, schema) if isinstance(schema, dict) else change
    if "specversion" in document and isinstance(document.get("data"), dict):
        return _of_cloud_event(document, place)
    if is_control(document):
        return {"op": NO_ROW}
    if isinstance(document.get("op"), str):
        return document
    if any(name in document for name in place.columns) or "__deleted" in document:
        return _of_row(document)
    own = f", and has nothing at {'.'.join(place.path)}" if place.path else ""
    raise ChangeError(f"it is no object with op, before and after{own}")


def _row_at(document: ObservedChange, place: ProbePlace) -> ObservedChange | None:
    """The object at the path's end, with the probe under its column's name."""
    *outer, last = place.path
    row = document
    for name in outer:
        found = row.get(name)
        if not isinstance(found, dict):
            return None
        row = found
    if not isinstance(probe := row.get(last), str):
        return None
    return {**row, **dict.fromkeys(place.columns, probe)}


def _of_own_form(document: ObservedChange, row: ObservedChange) -> ObservedChange:
    """The change in a form of the user's own; without an `op` it is a written row."""
    operation = document.get("op")
    operation = operation if isinstance(operation, str) else "c"
    side = "before" if operation in DELETES else "after"
    change = {"op": operation, "before": None, "after": None, side: row}
    return change | {name: document[name] for name in ("key", "source") if name in document}


def is_control(document: ObservedChange) -> bool:
    """Whether this is one of Debezium's own messages without a row: a heartbeat, the begin or end
    of a transaction, a change of the schema, or a logical message.
    """
    names = document.keys()
    return (
        names == {"ts_ms"}
        or {"status", "id", "event_count"} <= names
        or ("ddl" in names and ("tableChanges" in names or "databaseName" in names))
        or document.get("op") == "m"
    )


def _of_cloud_event(event: ObservedChange, place: ProbePlace) -> ObservedChange:
    data = dict(event["data"])
    if isinstance(payload := data.get("payload"), dict):
        data = dict(payload)
    if "op" not in data and ("before" in data or "after" in data):
        data["op"] = event.get(_CLOUD_OP, "u" if data.get("after") else "d")
    change = change_of(data, place)
    if "source" not in change and isinstance(ts_ms := event.get(_CLOUD_TIME), int | str):
        change = {**change, "source": {"ts_ms": int(ts_ms)} if str(ts_ms).isdecimal() else {}}
    return change


def _of_row(row: ObservedChange) -> ObservedChange:
    deleted = str(row.get("__deleted", "false")).lower() == "true"
    operation = "d" if deleted else str(row.get("__op") or "c")
    columns = {name: value for name, value in row.items() if not name.startswith("__")}
    source = {
        name.removeprefix("__source_"): value
        for name, value in row.items()
        if name.startswith("__source_")
    }
    side = "before" if operation == "d" else "after"
    return {"op": operation, "before": None, "after": None, side: columns, "source": source}


def with_scales(change: ObservedChange, schema: ConnectSchema) -> ObservedChange:
    """The change with its decimals' scales from the schema: the schema says, by column, where the
    point of a base64 number belongs.
    """
    scales: dict[str, int] = {}
    for part in _records(schema):
        for column in _fields(part):
            parameters = column.get("parameters")
            if column.get("name") == _DECIMAL and isinstance(parameters, dict):
                scale = str(parameters.get("scale", ""))
                if _SCALE.fullmatch(scale):
                    scales[str(column.get("field"))] = int(scale)
    return {**change, SCALES: scales} if scales else change


#: The key, beside op, before and after, of the scales of the row's decimals.
SCALES = "scales of decimals"


def _records(schema: ConnectSchema) -> Sequence[ConnectSchema]:
    """The schema of a row: one side of an envelope, or the whole."""
    sides = [field for field in _fields(schema) if field.get("field") in ("after", "before")]
    return sides or [schema]


def _fields(schema: ConnectSchema) -> Sequence[ConnectSchema]:
    """The fields of a record's schema; none where it has another form than Connect's."""
    fields = schema.get("fields")
    return (
        [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []
    )
