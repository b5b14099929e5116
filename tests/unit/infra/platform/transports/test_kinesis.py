"""Kinesis: calls at their very bounds, a key in one place of the line, and errors told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.transports import kinesis
from infra.platform.transports.kinesis import (
    CALL_BYTES,
    CALL_RECORDS,
    RECORD_BYTES,
    KinesisWalPublisher,
    check_reachable,
    partition_key,
    record_limit,
)
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
)
from tests.unit.infra.platform.transports.cloud_double import KinesisDouble, client_error

STREAM, OTHER = "orders", "items"
NOWHERE = "http://127.0.0.1:1/"


class Failing(KinesisDouble):
    """Its first calls raise these."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__([STREAM])
        self._errors = list(errors)

    def put_records(self, **given: Any) -> dict[str, Any]:
        if self._errors:
            raise self._errors.pop(0)
        return super().put_records(**given)


def publisher_of(double: KinesisDouble) -> KinesisWalPublisher:
    return KinesisWalPublisher(double, sleep=lambda _: None)


def flushed(double: KinesisDouble, records: Sequence[Record]) -> KinesisWalPublisher:
    publisher = publisher_of(double)
    publisher.publish(records)
    publisher.flush()
    return publisher


@pytest.mark.parametrize(
    ("count", "calls"),
    [
        (1, [1]),
        (CALL_RECORDS, [CALL_RECORDS]),
        (CALL_RECORDS + 1, [CALL_RECORDS, 1]),
        (2 * CALL_RECORDS, [CALL_RECORDS, CALL_RECORDS]),
    ],
)
def test_a_call_has_as_many_records_as_it_may(count: int, calls: list[int]) -> None:
    double = KinesisDouble([STREAM])
    flushed(double, [Record(STREAM, b"%d" % number, b"x") for number in range(count)])

    assert double.calls == calls


@pytest.mark.parametrize(("more", "calls"), [(0, [6]), (1, [5, 1])])
def test_a_call_has_as_many_bytes_as_it_may_keys_included(more: int, calls: list[int]) -> None:
    double = KinesisDouble([STREAM])
    keys = [*(b"%d" % number for number in range(5)), b"5" * 33]
    sizes = [CALL_BYTES // 6] * 5
    sizes.append(CALL_BYTES - sum(sizes) - sum(map(len, keys)) + more)
    flushed(
        double,
        [Record(STREAM, key, bytes(size)) for key, size in zip(keys, sizes, strict=True)],
    )

    assert double.calls == calls


def test_a_key_with_many_records_does_not_keep_the_others_waiting() -> None:
    double = KinesisDouble([STREAM])
    hot = [Record(STREAM, b"hot", b"h%d" % number) for number in range(5)]
    others = [Record(STREAM, b"%d" % number, b"o") for number in range(10)]
    flushed(double, [*hot, *others])

    assert double.calls == [11, 1, 1, 1, 1]


def test_what_a_call_refuses_is_first_in_the_next_in_its_order() -> None:
    """The fault is in the first call's second and fourth record."""
    double = KinesisDouble([STREAM], fault=lambda tried: tried in (1, 3))
    publisher = flushed(double, [Record(STREAM, b"%d" % number, b"x") for number in range(6)])

    assert [key for key, _ in double.taken[STREAM]] == ["0", "2", "4", "5", "1", "3"]
    assert (publisher.retried, publisher.throttled) == (2, 0)


def test_what_a_call_refuses_goes_before_what_has_waited_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kinesis, "CALL_RECORDS", 3)
    double = KinesisDouble([STREAM], fault=lambda tried: tried in (0, 1))
    flushed(double, [Record(STREAM, b"%d" % number, b"x") for number in range(6)])

    assert [key for key, _ in double.taken[STREAM]] == ["2", "0", "1", "3", "4", "5"]


def test_a_call_of_which_a_part_is_refused_is_followed_by_a_pause_that_grows() -> None:
    """One shard takes nothing for five calls, while the others take what they get."""
    pauses: list[float] = []
    double = OneShardFull([STREAM], full_until=5)
    publisher = KinesisWalPublisher(double, sleep=pauses.append)
    sent = [Record(STREAM, b"%d" % (number % 12), b"%d" % number) for number in range(120)]
    publisher.publish(sent)
    publisher.flush()

    assert len(pauses) == 5
    assert pauses[4] > pauses[0]
    for key in {record.key for record in sent}:
        mine = [record.data for record in sent if record.key == key]
        assert [data for name, data in double.taken[STREAM] if name == key.decode()] == mine

    publisher.publish([Record(STREAM, b"hot", b"x")])
    publisher.flush()

    assert len(pauses) == 5, "a call that is accepted as a whole needs no pause"


class OneShardFull(KinesisDouble):
    """The shard of the key "0" refuses everything in the first calls."""

    def __init__(self, streams: Sequence[str], *, full_until: int) -> None:
        super().__init__(streams)
        self._full_until = full_until

    def _put(self, stream: str, record: Mapping[str, Any]) -> dict[str, Any]:
        if record["PartitionKey"] == "0" and len(self.calls) <= self._full_until:
            return {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "full"}
        return super()._put(stream, record)


class Roomy(KinesisDouble):
    """A stream whose records may be larger than a call."""

    def put_records(self, *, StreamName: str, Records: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        self.calls.append(len(Records))
        self.taken[StreamName] += [(one["PartitionKey"], one["Data"]) for one in Records]
        return {"FailedRecordCount": 0, "Records": [{} for _ in Records]}


def test_a_record_that_is_larger_than_a_call_goes_alone() -> None:
    double = Roomy([STREAM])
    publisher = KinesisWalPublisher(double, limit_bytes=10 << 20)
    publisher.publish(
        [Record(STREAM, b"%d" % number, bytes(size)) for number, size in enumerate((9, 6 << 20, 9))]
    )
    publisher.flush()

    assert [len(data) for _, data in double.taken[STREAM]] == [9, 6 << 20, 9]
    assert double.calls == [1, 1, 1]


def test_streams_are_apart_also_where_their_keys_are_alike() -> None:
    double = KinesisDouble([STREAM, OTHER])
    flushed(double, [Record(stream, b"k", b"x") for stream in (STREAM, OTHER) for _ in range(2)])

    assert {stream: len(taken) for stream, taken in double.taken.items()} == {STREAM: 2, OTHER: 2}
    assert double.calls == [1, 1, 1, 1]


@given(
    st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=30),
    st.lists(st.booleans(), max_size=30),
)
def test_nothing_is_lost_doubled_or_turned_round_whatever_a_call_refuses(
    keys: list[bytes], refused: list[bool]
) -> None:
    faults = dict(enumerate(refused))
    double = KinesisDouble([STREAM], fault=lambda tried: faults.get(tried, False))
    sent = [Record(STREAM, key, b"%d" % number) for number, key in enumerate(keys)]
    publisher = flushed(double, sent)

    for key in set(keys):
        mine = [record.data for record in sent if record.key == key]
        assert [data for name, data in double.taken[STREAM] if name == key.decode()] == mine
    assert all(waiting.count == waiting.bytes == 0 for waiting in publisher._streams.values()), (
        "what is durable is held no longer"
    )


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        client_error("LimitExceededException"),
        client_error("InternalFailure", 500),
        client_error("NobodyKnows", 503),
        ConnectTimeoutError(endpoint_url=NOWHERE),
        EndpointConnectionError(endpoint_url=NOWHERE),
        ConnectionClosedError(endpoint_url=NOWHERE),
        ReadTimeoutError(endpoint_url=NOWHERE),
    ],
    ids=str,
)
def test_an_error_of_the_moment_is_asked_again(error: Exception) -> None:
    publisher = flushed(double := Failing(error, error), [Record(STREAM, b"k", b"x")])

    assert len(double.taken[STREAM]) == 1
    assert (publisher.calls, publisher.throttled, publisher.trouble) == (3, 2, "")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (client_error("AccessDeniedException"), PublishRefusedError, "AccessDenied"),
        (client_error("KMSDisabledException"), PublishRefusedError, "KMSDisabled"),
        (client_error("ResourceNotFoundException"), UnreachableError, "no stream 'orders'"),
        (SSLError(endpoint_url=NOWHERE, error="x"), TransportError, "cannot be asked: SSLError"),
        (NoCredentialsError(), TransportError, "cannot be asked: NoCredentialsError"),
        (ValueError("odd"), TransportError, "cannot be asked: ValueError: odd"),
    ],
    ids=str,
)
def test_any_other_error_is_raised_at_once(
    error: Exception, kind: type[Exception], words: str
) -> None:
    publisher = publisher_of(Failing(error))
    publisher.publish([Record(STREAM, b"k", b"x")])

    with pytest.raises(kind, match=words):
        publisher.flush()
    assert publisher.calls == 1


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (b"k", True),
        (b"k" * 256, True),
        (b"k" * 257, False),
        (b"", False),
        (b"\xff", False),
        ("ä".encode() * 256, True),
        ("ä".encode() * 257, False),
        (b"a\0b", True),
    ],
)
def test_a_key_stays_as_it_is_where_kinesis_takes_it(key: bytes, kept: bool) -> None:
    assert (partition_key(key) == key.decode(errors="replace")) is kept
    assert 1 <= len(partition_key(key)) <= 256


@pytest.mark.parametrize("key", [b"k", b"", b"k" * 300, b"\xff" * 3, b"k" * 256])
def test_a_record_within_the_publishers_limit_is_never_refused(key: bytes) -> None:
    publisher = publisher_of(KinesisDouble([STREAM]))
    record = Record(STREAM, key, bytes(publisher.limit_bytes - len(key)))

    assert publisher.refusal(record) == ""
    publisher.publish([record])
    publisher.flush()


def test_a_record_is_refused_beyond_the_services_limit_and_not_at_it() -> None:
    publisher = publisher_of(KinesisDouble([STREAM]))

    assert publisher.refusal(Record(STREAM, b"k", bytes(RECORD_BYTES - 1))) == ""
    assert f"{RECORD_BYTES + 1} bytes" in publisher.refusal(
        Record(STREAM, b"k", bytes(RECORD_BYTES))
    )


def test_records_are_held_up_to_a_bound_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinesis, "HELD_RECORDS", 10)
    double = KinesisDouble([STREAM])
    publisher = publisher_of(double)
    publisher.publish([Record(STREAM, b"%d" % number, b"x") for number in range(9)])
    assert double.calls == []

    publisher.publish([Record(STREAM, b"9", b"x")])

    assert double.calls == [10]


class Described:
    """Tells of streams how large their records may be; `asked` counts."""

    def __init__(self, limits: Mapping[str, int | None]) -> None:
        self.asked: Counter[str] = Counter()
        self._limits = limits

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        self.asked[StreamName] += 1
        if StreamName not in self._limits:
            raise client_error("UnknownOperationException")
        limit = self._limits[StreamName]
        return {"StreamDescriptionSummary": {} if limit is None else {"MaxRecordSizeInKiB": limit}}

    def list_streams(self, Limit: int) -> None:  # noqa: N803
        raise ConnectionError(f"no route for {Limit}")


@pytest.mark.parametrize(
    ("streams", "limit_kib"),
    [
        ([], 1024),
        (["large"], 10_240),
        (["large", "usual"], 1024),
        (["large", "larger"], 10_240),
        (["large", "silent"], 1024),
        (["large", "unknown"], 1024),
    ],
)
def test_the_smallest_limit_of_all_streams_counts(streams: list[str], limit_kib: int) -> None:
    service = Described({"large": 10_240, "larger": 20_000, "usual": 1024, "silent": None})

    assert record_limit(service, streams) == limit_kib << 10


def test_a_service_that_does_not_answer_is_told_without_what_its_address_may_hide() -> None:
    with pytest.raises(UnreachableError, match=r"https://k:4566 does not answer") as raised:
        check_reachable(Described({}), "https://user:secret@k:4566/path?token=secret")

    assert "secret" not in str(raised.value)
    with pytest.raises(UnreachableError, match="its default endpoint"):
        check_reachable(Described({}), "")
