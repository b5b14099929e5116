"""Changes that the service can never accept: stored with their cause and position, or the reader
ends.

They go to a file and not to a topic: a record that is too large for its topic is too large for
others too.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import msgspec
import structlog

from infra.platform.transports.transport import PublishRefusedError, Record
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.stream import lsn_text

logger = structlog.get_logger()


class RefusedChanges:
    """Appends refused changes to a file, one JSON object for each line; without a file the first
    one ends the reader.
    """

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self._path = path

    def refuse(self, source: CommitSource, record: Record, cause: str) -> None:
        """Store one refused change; it is on disk when this returns. Raises PublishRefusedError if
        there is no file.
        """
        place = (
            f"{cause}: the change of transaction {source.xid} at {lsn_text(source.lsn)} for"
            f" {record.stream!r} with key {record.key[:80]!r}"
        )
        if self._path is None:
            raise PublishRefusedError(
                f"{place}; put such changes aside with --refused FILE, raise the limit, or leave"
                " the table out of the publication"
            )
        line = msgspec.json.encode(_described(source, record, cause)) + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.count += 1
        logger.error("platform.reader.refused", error=place, count=self.count)


def _described(source: CommitSource, record: Record, cause: str) -> dict[str, object]:
    described: dict[str, object] = {
        "cause": cause,
        "source": source.fields(),
        "stream": record.stream,
        "key": _text(record.key),
        "bytes": len(record.data),
    }
    return {**described, **_value(record.data)}


def _value(data: bytes) -> dict[str, str]:
    try:
        return {"value": data.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(data).decode()}


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
