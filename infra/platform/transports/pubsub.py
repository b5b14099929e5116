"""Publishes to Google Pub/Sub: one ordering key for each virtual partition, and order is kept when
a publish fails.

Pub/Sub documentation, "Order messages": after a failed publish the client pauses the ordering key,
and fails everything else that was published with it, until `resume_publish`. So the failed message
and all later ones of its key are published again in their order, and no others.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import override

from infra.client.cloud import pubsub_channel
from infra.platform.transports import naming
from infra.platform.transports.partition import PARTITIONS, partition
from infra.platform.transports.plugin import Destination, TransportPlugin
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
    WalPublisher,
    backoff_s,
)
from infra.validate import is_address

MESSAGE_BYTES = 10_000_000
#: A request's bytes beside its message; the same limit applies to the whole request.
REQUEST_BYTES = 2_048
#: How many messages may be on their way before `publish` waits for the oldest.
UNDER_WAY = 10_000
#: The same limit in bytes, for large messages.
UNDER_WAY_BYTES = 32_000_000
FIRST_WAIT_S = 0.05
MOST_WAIT_S = 2.0
PATIENCE_S = 60.0
ANSWER_S = 120.0
REACH_S = 5.0
#: gRPC status names that pass by themselves (google.api_core.exceptions' class names).
PASSING = frozenset(
    {
        "ServiceUnavailable",
        "DeadlineExceeded",
        "Aborted",
        "InternalServerError",
        "ResourceExhausted",
        "Unknown",
    }
    | {"TooManyRequests", "GatewayTimeout", "BadGateway", "Cancelled", "RetryError", "TimeoutError"}
    | {"PublishToPausedOrderingKeyException"}
)
Lane = tuple[str, str]


class PubSubWalPublisher(WalPublisher):
    """Publishes to Pub/Sub topics with ordering keys.

    `client` is google.cloud.pubsub_v1's PublisherClient with message ordering enabled, or an
    equivalent. A stream is a topic's short name within `project`. A key that fails for `PATIENCE_S`
    ends in TransportError.
    """

    name = "pubsub"
    #: The topic's part of a request is small compared with this.
    limit_bytes = MESSAGE_BYTES - REQUEST_BYTES

    def __init__(
        self,
        client: Any,
        project: str,
        *,
        partitions: int = PARTITIONS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.published = self.resumed = 0
        self._client = client
        self._prefix = f"projects/{project}/topics/"
        self._partitions = partitions
        # Formatted once, not for each record; padded, so that they sort as numbers do.
        self._names = [f"{number:0{len(str(partitions - 1))}d}" for number in range(partitions)]
        self._sleep = sleep
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - jitter
        self._lanes: dict[Lane, deque[tuple[bytes, Any]]] = {}
        self._under_way = self._under_way_bytes = 0
        self._trouble = ""

    @property
    @override
    def trouble(self) -> str:
        return self._trouble

    @override
    def refusal(self, record: Record) -> str:
        if len(record.data) + REQUEST_BYTES <= MESSAGE_BYTES:
            return ""
        return f"a message of {len(record.data)} bytes is over Pub/Sub's limit of {MESSAGE_BYTES}"

    @override
    def publish(self, records: Sequence[Record]) -> None:
        for record in records:
            lane = (
                self._prefix + record.stream,
                self._names[partition(record.key, self._partitions)],
            )
            # The ordering key is a virtual partition, not the row's own key: after a failure the
            # client pauses the key. A few dozen paused keys can be managed; one for each row could
            # not.
            future = self._client.publish(lane[0], record.data, ordering_key=lane[1])
            self._lanes.setdefault(lane, deque()).append((record.data, future))
            self._under_way += 1
            self._under_way_bytes += len(record.data)
            # Bytes are checked after each message, because a few large ones suffice to exceed the
            # limit. The count is checked once for each call, whose messages are limited already.
            if self._under_way_bytes >= UNDER_WAY_BYTES:
                self.flush()
        if self._under_way >= UNDER_WAY:
            self.flush()

    @override
    def flush(self) -> None:
        for lane, sent in self._lanes.items():
            self._flush_lane(lane, sent)

    def _flush_lane(self, lane: Lane, sent: deque[tuple[bytes, Any]]) -> None:
        left = len(sent)
        failing_since_s: float | None = None
        while (failure := self._settle(sent)) is not None:
            _check_passing(failure, lane[0])
            now_s = self._clock()
            if failing_since_s is not None:
                self._trouble = f"{lane[0]!r} fails: {type(failure).__name__}: {failure}"
            if failing_since_s is None or len(sent) < left:
                # Some got through: patience is for a key that stands still.
                pauses = backoff_s(FIRST_WAIT_S, MOST_WAIT_S, self._chance)
                failing_since_s, left = now_s, len(sent)
            elif now_s - failing_since_s >= PATIENCE_S:
                raise TransportError(
                    f"Pub/Sub topic {lane[0]!r} has failed for {now_s - failing_since_s:.0f} s"
                    f" ({type(failure).__name__}: {failure})"
                ) from failure
            self._sleep(next(pauses))
            self._again(lane, sent)
        self._trouble = ""

    def _settle(self, sent: deque[tuple[bytes, Any]]) -> Exception | None:
        """Drop the acknowledged messages, from the oldest on; returns the first failure."""
        # From the oldest on: acknowledgements of an ordering key come in order, so repetition
        # begins at the first one that is missing.
        while sent:
            try:
                sent[0][1].result(timeout=ANSWER_S)
            except Exception as failure:  # noqa: BLE001 - `_check_passing` raises what does not pass
                return failure
            data, _ = sent.popleft()
            self._under_way -= 1
            self._under_way_bytes -= len(data)
            self.published += 1
        return None

    def _again(self, lane: Lane, sent: deque[tuple[bytes, Any]]) -> None:
        """Publish the failed message and all later ones again, once each of them has failed.

        If one after the failed message had been acknowledged (the service excludes that), it would
        be there twice.
        """
        # The client fails all messages behind a failed one, but not at once. Publishing again
        # before the last has failed could place one of them before its predecessor.
        for _, future in sent:
            _outcome(future)
        # The client has failed all waiting messages of the key, in order. They are published again
        # in that order; other keys are not affected.
        self._client.resume_publish(*lane)
        self.resumed += 1
        waiting = [data for data, _ in sent]
        sent.clear()
        sent.extend(
            (data, self._client.publish(lane[0], data, ordering_key=lane[1])) for data in waiting
        )

    @override
    def close(self) -> None:
        self.flush()
        self._client.stop()


def _outcome(future: Any) -> None:
    """Wait until a publish has ended, successfully or not: before that it could still take effect
    after its repetition.
    """
    with contextlib.suppress(Exception):  # only its end matters, not its result
        future.result(timeout=ANSWER_S)


def _check_passing(failure: Exception, topic: str) -> None:
    name = type(failure).__name__
    if name == "NotFound":
        raise UnreachableError(f"Pub/Sub has no topic {topic!r}; create it first") from failure
    if name not in PASSING:
        raise PublishRefusedError(
            f"Pub/Sub refuses messages for {topic!r}: {name}: {failure}"
        ) from failure


def client(host: str) -> Any:
    """Google's publisher for the emulator at HOST:PORT, or for the real service where that is
    empty.
    """
    from google.cloud import pubsub_v1
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    settings: dict[str, Any] = {
        "batch_settings": pubsub_v1.types.BatchSettings(
            max_messages=1000, max_bytes=5_000_000, max_latency=0.005
        ),
        "publisher_options": pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
    }
    if host:
        settings["transport"] = PublisherGrpcTransport(channel=pubsub_channel(host))
    return pubsub_v1.PublisherClient(**settings)


def check_reachable(publisher: Any, project: str, host: str) -> None:
    """One real request; raises UnreachableError that says what was tried."""
    try:
        next(
            iter(publisher.list_topics(project=f"projects/{project}", retry=None, timeout=REACH_S)),
            None,
        )
    except Exception as error:
        raise UnreachableError(
            f"Pub/Sub at {host or 'its default endpoint'} does not answer: {type(error).__name__};"
            " start the emulator, or name another with --endpoint (PUBSUB_EMULATOR_HOST)"
        ) from error


def _connect(destination: Destination) -> PubSubWalPublisher:
    made = client(destination.endpoint)
    check_reachable(made, destination.project, destination.endpoint)
    return PubSubWalPublisher(made, destination.project, partitions=destination.partitions)


def _endpoint_mistakes(flag: str, endpoint: str) -> list[str]:
    if not endpoint or is_address(endpoint):
        return []
    return [f"{flag} {endpoint!r} is not HOST:PORT"]


PUBSUB = TransportPlugin(
    "pubsub",
    connect=_connect,
    package="google.cloud.pubsub_v1",
    extra="cloud",
    naming=naming.PUBSUB,
    variable="PUBSUB_EMULATOR_HOST",
    endpoint_mistakes=_endpoint_mistakes,
    hint="HOST:PORT",
)
