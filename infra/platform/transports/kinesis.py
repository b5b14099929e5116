"""Publishes to Kinesis by `PutRecords`, with each key in order although the call itself does not
promise order.

Amazon Kinesis Data Streams API Reference, PutRecords: at most 500 records and 5 MiB for each call,
1 MiB for each record, keys included. "A single record failure does not stop the processing of
subsequent records", so two records of one key in one call may change places. A key is therefore in
a call at most once, and its next record waits for the answer.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from typing_extensions import override

from infra.client.cloud import kinesis
from infra.platform.process.address import shown, url_mistakes
from infra.platform.transports import naming
from infra.platform.transports.plugin import Destination, TransportPlugin
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
    WalPublisher,
    backoff_s,
)

logger = structlog.get_logger()

CALL_RECORDS = 500
CALL_BYTES = 5 << 20
RECORD_BYTES = 1 << 20
KEY_CHARACTERS = 256
#: Records that are held back before `publish` sends: enough to fill calls although each call has a
#: key only once.
HELD_RECORDS = 4 * CALL_RECORDS
#: The same limit in bytes, for large records.
HELD_BYTES = 4 * CALL_BYTES
FIRST_WAIT_S = 0.05
MOST_WAIT_S = 2.0
PATIENCE_S = 60.0
#: Errors of a stream that gets more than it can take.
TOO_MUCH = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})
#: Errors of a whole call that pass by themselves.
PASSING = TOO_MUCH | {
    "LimitExceededException",
    "InternalFailure",
    "ServiceUnavailable",
    "KMSThrottlingException",
}
Put = dict[str, Any]


def partition_key(key: bytes) -> str:
    """A record's key as Kinesis accepts it: a text of at most 256 characters, otherwise its
    SHA-256.
    """
    # A key that is not UTF-8 cannot stand in JSON. Its hash keeps the order as well, because equal
    # keys have equal hashes.
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    return text if 0 < len(text) <= KEY_CHARACTERS else hashlib.sha256(key).hexdigest()


class _Waiting:
    """One stream's unsent records by key.

    A key is in a call at most once; its next record is offered only after the last one was
    acknowledged.
    """

    def __init__(self) -> None:
        self.count = self.bytes = 0
        self._ready: deque[str] = deque()
        self._keys: dict[str, deque[bytes]] = {}
        #: The pauses of calls of which a part was refused, until a call is accepted as a whole.
        self.pauses: Iterator[float] | None = None

    def add(self, key: str, data: bytes) -> None:
        self.count += 1
        self.bytes += len(data)
        # PutRecords keeps no order among the records of a call, and accepts any part of them. So a
        # key has one record on its way, its others wait, and calls are filled with other keys.
        queue = self._keys.get(key)
        if queue is None:
            self._keys[key] = deque((data,))
            self._ready.append(key)
        else:
            queue.append(data)

    def take(self) -> list[Put]:
        """The next call: the first records of as many keys as fit."""
        call: list[Put] = []
        size = 0
        while self._ready and len(call) < CALL_RECORDS:
            key = self._ready[0]
            data = self._keys[key][0]
            size += len(data) + len(key.encode())
            # A stream may accept records that are larger than a call; such a record is sent alone.
            if call and size > CALL_BYTES:
                break
            self._ready.popleft()
            call.append({"Data": data, "PartitionKey": key})
        return call

    def settle(self, call: Sequence[Put], failed: Sequence[bool]) -> None:
        """Handle an answer: accepted records are forgotten, the others are first in the
        next call.
        """
        again = []
        for put, fault in zip(call, failed, strict=True):
            key = put["PartitionKey"]
            if fault:
                again.append(key)
                continue
            self.count -= 1
            queue = self._keys[key]
            self.bytes -= len(queue.popleft())
            # Back to the end of the line, so that a key with many records does not keep others
            # waiting.
            if queue:
                self._ready.append(key)
            else:
                del self._keys[key]
        # `extendleft` reverses the order, so the records are reversed first.
        self._ready.extendleft(reversed(again))


class KinesisWalPublisher(WalPublisher):
    """Publishes to Kinesis streams; a refused record is sent again, after a pause if the stream was
    overloaded.

    `client` is boto3's, or an equivalent. If nothing is accepted for `patience_s`, that ends in
    TransportError. The time of the calls counts, because a dead service may let each call run into
    its limit.
    """

    name = "kinesis"

    def __init__(
        self,
        client: Any,
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        limit_bytes: int = RECORD_BYTES,
    ) -> None:
        self.calls = self.retried = self.throttled = 0
        # A key that is too long for a partition key is sent as a hash of 64 characters.
        self.limit_bytes = limit_bytes - 64
        self._limit_bytes = limit_bytes
        self._trouble = ""
        self._client = client
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - jitter
        self._streams: dict[str, _Waiting] = {}

    @property
    @override
    def trouble(self) -> str:
        return self._trouble

    @override
    def refusal(self, record: Record) -> str:
        size = len(record.data) + len(partition_key(record.key).encode())
        if size <= self._limit_bytes:
            return ""
        return (
            f"a record of {size} bytes with its key is over Kinesis' limit of {self._limit_bytes}"
        )

    @override
    def publish(self, records: Sequence[Record]) -> None:
        for record in records:
            waiting = self._streams.get(record.stream)
            if waiting is None:
                waiting = self._streams[record.stream] = _Waiting()
            waiting.add(partition_key(record.key), record.data)
            if waiting.bytes >= HELD_BYTES:
                self._send(record.stream, waiting)
        for stream, waiting in self._streams.items():
            # Held back until calls can be full, although a call has each key only once.
            while waiting.count >= HELD_RECORDS:
                self._send(stream, waiting)

    @override
    def flush(self) -> None:
        for stream, waiting in self._streams.items():
            while waiting.count:
                self._send(stream, waiting)

    def _send(self, stream: str, waiting: _Waiting) -> None:
        """One call, repeated with its failed records until the service has accepted at
        least one. A pause follows each call that failed in whole or in part.
        """
        began_s = self._clock()
        while True:
            call = waiting.take()
            failed, cause = self._put(stream, call)
            waiting.settle(call, failed)
            if not any(failed):
                waiting.pauses = None
            elif waiting.pauses is None:
                waiting.pauses = backoff_s(FIRST_WAIT_S, MOST_WAIT_S, self._chance)
            # Some records were accepted: that is progress, and the rest is first in the next call.
            # Only a call without any accepted record uses up patience.
            if not all(failed):
                self._trouble = ""
                # One shard may be overloaded while others accept: without a pause, every call
                # would carry its records again at once and keep it overloaded.
                if waiting.pauses is not None:
                    self._sleep(next(waiting.pauses))
                return
            waited_s = self._clock() - began_s
            if waited_s >= FIRST_WAIT_S / 2:  # more than a single unlucky call
                self._trouble = f"Kinesis stream {stream!r} takes no records: {cause}"
            if waited_s >= self._patience_s:
                remedy = (
                    "raise the number of its shards"
                    if cause in TOO_MUCH
                    else "see whether the service is up and can be reached"
                )
                raise TransportError(
                    f"Kinesis stream {stream!r} has taken none of {len(call)} records for"
                    f" {waited_s:.0f} s ({cause}); {remedy}"
                )
            assert waiting.pauses is not None
            self._sleep(next(waiting.pauses))

    def _put(self, stream: str, call: list[Put]) -> tuple[list[bool], str]:
        """Which records of one call failed, and an example of the reason."""
        self.calls += 1
        try:
            answer: Mapping[str, Any] = self._client.put_records(StreamName=stream, Records=call)
        except Exception as error:  # noqa: BLE001 - `_passing` raises what does not pass
            code = _passing(error, stream)
            self.throttled += 1
            return [True] * len(call), code
        # In the usual answer one number says that none failed, without a look at 500 results.
        if not answer["FailedRecordCount"]:
            return [False] * len(call), ""
        self.retried += answer["FailedRecordCount"]
        codes = [result.get("ErrorCode") or "" for result in answer["Records"]]
        return [bool(code) for code in codes], next(code for code in codes if code)

    @override
    def close(self) -> None:
        self.flush()
        self._client.close()


def _passing(error: Exception, stream: str) -> str:
    """The name of an error that passes by itself; raises TransportError for any other."""
    from botocore.exceptions import (
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        ProxyConnectionError,
    )

    answer = getattr(error, "response", None)
    # Botocore's error of a connection that is refused is no HTTPClientError.
    silent = (HTTPClientError, EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
    if isinstance(error, silent):
        return type(error).__name__  # no answer: tried again, as with a service that restarts
    if answer is None:
        raise TransportError(f"Kinesis cannot be asked: {type(error).__name__}: {error}") from error
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in PASSING or status >= 500:
        return code
    if code == "ResourceNotFoundException":
        raise UnreachableError(f"Kinesis has no stream {stream!r}; create it first") from error
    raise PublishRefusedError(f"Kinesis refuses records for stream {stream!r}: {error}") from error


def client(endpoint: str) -> Any:
    """boto3's client for the Kinesis at a URL, or for the real service if the URL is empty.

    The client does not retry, because only the publisher knows the order. With an endpoint but
    without credentials in the environment, it uses made-up ones, which every emulator accepts.
    """
    return kinesis(
        endpoint,
        connect_timeout=5,
        read_timeout=20,
        tcp_keepalive=True,
        retries={"total_max_attempts": 1},
        # Without boto3's validation, which checks each field of each record in Python; the
        # publisher makes all fields itself.
        parameter_validation=False,
    )


def check_reachable(kinesis: Any, endpoint: str) -> None:
    """One real request; raises UnreachableError that says what was tried."""
    try:
        kinesis.list_streams(Limit=1)
    except Exception as error:
        place = shown(endpoint) if endpoint else "its default endpoint"
        raise UnreachableError(
            f"Kinesis at {place} does not answer: {type(error).__name__}; start the "
            "emulator, or name another with --endpoint (AWS_ENDPOINT_URL_KINESIS)"
        ) from error


def record_limit(kinesis: Any, streams: Sequence[str]) -> int:
    """The largest record in bytes for all of these streams; 1 MiB if the service does not say.

    Amazon Kinesis Data Streams API Reference, DescribeStreamSummary: MaxRecordSizeInKiB.
    """
    limits = [RECORD_BYTES]
    for stream in streams:
        try:
            answer = kinesis.describe_stream_summary(StreamName=stream)
        except Exception as error:  # noqa: BLE001 - older services and emulators do not know it
            logger.info("platform.kinesis.limit_unknown", stream=stream, error=str(error))
            return RECORD_BYTES
        described = answer["StreamDescriptionSummary"]
        limits.append(int(described.get("MaxRecordSizeInKiB", RECORD_BYTES >> 10)) << 10)
    return min(limits[1:], default=RECORD_BYTES)


def _connect(destination: Destination) -> KinesisWalPublisher:
    made = client(destination.endpoint)
    check_reachable(made, destination.endpoint)
    limit_bytes = record_limit(made, sorted(set(destination.streams)))
    return KinesisWalPublisher(made, limit_bytes=limit_bytes)


KINESIS = TransportPlugin(
    "kinesis",
    connect=_connect,
    package="boto3",
    extra="cloud",
    naming=naming.KINESIS,
    variable="AWS_ENDPOINT_URL_KINESIS",
    endpoint_mistakes=lambda flag, url: url_mistakes(flag, url) if url else [],
    hint="URL",
)
