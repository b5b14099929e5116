"""In-memory clients of Kinesis and Pub/Sub that behave like the services' own, failures included.

What is accepted is kept, in order. One of every `fault_every` records fails: Kinesis answers with
an error code for that record and takes the others; Pub/Sub fails the message and all that follows
on its key, until that is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CALL_RECORDS = 500
CALL_BYTES = 5 << 20
STREAM_CHARACTERS = 128


class ServiceUnavailable(Exception):  # noqa: N818 - the real one's name
    """As google.api_core's; the publisher goes by the name."""


class PublishToPausedOrderingKeyException(Exception):  # noqa: N818 - the real one's name
    """As google.cloud.pubsub's."""


class MemoryKinesis:
    """PutRecord and PutRecords of a stream."""

    def __init__(self, fault_every: int = 0) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.calls = 0
        self._fault_every = fault_every
        self._asked = 0

    def put_records(
        self,
        *,
        StreamName: str,  # noqa: N803 - boto3's
        Records: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        _check_stream(StreamName)
        size = sum(len(record["Data"]) + len(record["PartitionKey"]) for record in Records)
        if not 0 < len(Records) <= CALL_RECORDS or size > CALL_BYTES:
            raise ValueError(f"{len(Records)} records of {size} bytes are not allowed in one call")
        self.calls += 1
        answers = [self._put(record["PartitionKey"], record["Data"]) for record in Records]
        return {
            "FailedRecordCount": sum("ErrorCode" in answer for answer in answers),
            "Records": answers,
        }

    def put_record(self, *, StreamName: str, Data: bytes, PartitionKey: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        _check_stream(StreamName)
        self.calls += 1
        return self._put(PartitionKey, Data)

    def _put(self, key: str, data: bytes) -> dict[str, Any]:
        self._asked += 1
        if self._fault_every and self._asked % self._fault_every == 0:
            return {
                "ErrorCode": "ProvisionedThroughputExceededException",
                "ErrorMessage": "slow down",
            }
        self.taken.append((key, data))
        return {"ShardId": "shardId-000000000000", "SequenceNumber": str(len(self.taken))}

    def close(self) -> None:
        """As boto3's."""


def _check_stream(name: str) -> None:
    if not 0 < len(name) <= STREAM_CHARACTERS:
        raise ValueError(f"{name!r} is no name of a stream")


class Answer:
    """A future that is there already."""

    __slots__ = ("_failure", "_number")

    def __init__(self, number: int, failure: Exception | None = None) -> None:
        self._number = number
        self._failure = failure

    def result(self, timeout: float | None = None) -> str:
        del timeout
        if self._failure is not None:
            raise self._failure
        return str(self._number)


class MemoryPubSub:
    """Publishing to topics with ordering keys."""

    def __init__(self, fault_every: int = 0) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.resumed = 0
        self._fault_every = fault_every
        self._asked = 0
        self._paused: set[tuple[str, str]] = set()

    def publish(self, topic: str, data: bytes, ordering_key: str = "") -> Answer:
        if (topic, ordering_key) in self._paused:
            return Answer(0, PublishToPausedOrderingKeyException(ordering_key))
        self._asked += 1
        if self._fault_every and self._asked % self._fault_every == 0:
            self._paused.add((topic, ordering_key))
            return Answer(0, ServiceUnavailable("try again"))
        self.taken.append((ordering_key, data))
        return Answer(len(self.taken))

    def resume_publish(self, topic: str, ordering_key: str) -> None:
        self.resumed += 1
        self._paused.discard((topic, ordering_key))

    def stop(self) -> None:
        """As Google's."""
