"""In-memory clients that behave like boto3's Kinesis, Google's Pub/Sub publisher and
confluent-kafka's Producer.

They keep the services' limits, refuse parts of calls, throttle, and pause failed ordering keys.
`fault` decides, by a count of what was tried, what fails; the default is that nothing does.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from botocore.exceptions import ClientError
from google.api_core.exceptions import NotFound, ServiceUnavailable
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

Fault = Callable[[int], bool]


def never(_: int) -> bool:
    return False


def client_error(code: str, status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": "made up"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "PutRecords")


class KinesisDouble:
    """`put_records` with the limits of the API reference; a record that fails does not stop those
    behind it.
    """

    def __init__(
        self, streams: Sequence[str], *, fault: Fault = never, throttle: Fault = never
    ) -> None:
        self.taken: dict[str, list[tuple[str, bytes]]] = {stream: [] for stream in streams}
        self.calls: list[int] = []
        self.closed = False
        self._fault = fault
        self._throttle = throttle
        self._tried = itertools.count()

    def put_records(
        self,
        *,
        StreamName: str,  # noqa: N803 - boto3's
        Records: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        if StreamName not in self.taken:
            raise client_error("ResourceNotFoundException")
        sizes = [len(record["Data"]) + len(record["PartitionKey"].encode()) for record in Records]
        if not 1 <= len(Records) <= 500 or sum(sizes) > 5 << 20 or max(sizes) > 1 << 20:
            raise client_error("InvalidArgumentException")
        if any(not 1 <= len(record["PartitionKey"]) <= 256 for record in Records):
            raise client_error("InvalidArgumentException")
        self.calls.append(len(Records))
        if self._throttle(len(self.calls)):
            raise client_error("ProvisionedThroughputExceededException")
        results = [self._put(StreamName, record) for record in Records]
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedRecordCount": failed, "Records": results}

    def _put(self, stream: str, record: Mapping[str, Any]) -> dict[str, Any]:
        if self._fault(next(self._tried)):
            return {
                "ErrorCode": "ProvisionedThroughputExceededException",
                "ErrorMessage": "made up",
            }
        self.taken[stream].append((record["PartitionKey"], record["Data"]))
        shard = int(hashlib.md5(record["PartitionKey"].encode()).hexdigest(), 16) >> 126
        return {"SequenceNumber": str(len(self.taken[stream])), "ShardId": f"shardId-{shard:012d}"}

    def close(self) -> None:
        self.closed = True


class PubSubDouble:
    """`publish` with ordering keys: a failed one pauses its key until `resume_publish`."""

    def __init__(self, topics: Sequence[str], *, fault: Fault = never) -> None:
        self.taken: dict[str, list[tuple[str, bytes]]] = {topic: [] for topic in topics}
        self.stopped = False
        self._paused: set[tuple[str, str]] = set()
        self._fault = fault
        self._tried = itertools.count()

    def publish(self, topic: str, data: bytes, ordering_key: str = "") -> Future[str]:
        future: Future[str] = Future()
        key = (topic, ordering_key)
        if key in self._paused:
            future.set_exception(PublishToPausedOrderingKeyException(ordering_key))
        elif topic not in self.taken:
            future.set_exception(NotFound("made up"))  # type: ignore[no-untyped-call]
        elif self._fault(next(self._tried)):
            self._paused.add(key)
            future.set_exception(ServiceUnavailable("made up"))  # type: ignore[no-untyped-call]
        else:
            self.taken[topic].append((ordering_key, data))
            future.set_result(str(len(self.taken[topic])))
        return future

    def resume_publish(self, topic: str, ordering_key: str) -> None:
        self._paused.discard((topic, ordering_key))

    def stop(self) -> None:
        self.stopped = True


class KafkaError:
    """What a delivery callback is given."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def __str__(self) -> str:
        return self._name


class KafkaDouble:
    """`produce` into a small queue, acknowledged by `poll` and `flush`."""

    def __init__(
        self, *, queue: int = 100, fault: Fault = never, error: str = "_MSG_TIMED_OUT"
    ) -> None:
        self.taken: dict[str, list[tuple[bytes, bytes]]] = {}
        self._queue = queue
        self._waiting: deque[tuple[str, bytes, bytes, Callable[[Any, Any], None]]] = deque()
        self._fault = fault
        self._error = error
        self._tried = itertools.count()

    def produce(
        self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        if len(self._waiting) >= self._queue:
            raise BufferError("Local: Queue full")
        self._waiting.append((topic, value, key, on_delivery))

    def poll(self, timeout_s: float) -> int:
        return self._deliver(self._queue // 2 if timeout_s else 1)

    def flush(self, _: float) -> int:
        self._deliver(self._queue)
        return len(self._waiting)

    def _deliver(self, most: int) -> int:
        count = min(most, len(self._waiting))
        for _ in range(count):
            topic, value, key, on_delivery = self._waiting.popleft()
            if self._fault(next(self._tried)):
                on_delivery(KafkaError(self._error), None)
            else:
                self.taken.setdefault(topic, []).append((key, value))
                on_delivery(None, None)
        return count
