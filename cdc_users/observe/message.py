"""What the observer answers, and how a final comparison is asked of it (docs/observer.md)."""

from __future__ import annotations

import msgspec

from cdc_users.measure.ledger.place import EventPlace
from cdc_users.measure.step import ProgressTelemetry, StepTelemetry
from cdc_users.measure.wire import Versioned
from cdc_users.observe.settings import IcebergSideSettings, PostgresSideSettings


class SlotSample(msgspec.Struct, kw_only=True):
    """A replication slot; None for each figure that is not known, and then why."""

    active: bool | None = None
    wal_status: str | None = None
    lag_bytes: int | None = None
    retained_bytes: int | None = None
    #: All that the server has ever written to its WAL.
    wal_bytes: int | None = None
    #: How much WAL may still be written before the slot is lost; None where there is no limit.
    safe_wal_bytes: int | None = None
    #: How far its reader is behind the current WAL: sent to it, and taken, flushed and applied as
    #: it says.
    sent_lag_bytes: int | None = None
    write_lag_bytes: int | None = None
    flush_lag_bytes: int | None = None
    replay_lag_bytes: int | None = None
    #: What decoding has put on disk and sent in progress, since the statistics began.
    spilled_bytes: int | None = None
    streamed_bytes: int | None = None
    #: The lag of every other slot of the server, by name.
    others: dict[str, int] = {}
    error: str | None = None


class GroupSample(msgspec.Struct, kw_only=True):
    """A consumer group: its lag in events, None where it is not known, and by partition."""

    lag: int | None = None
    partitions: dict[str, int] = {}
    #: How long the broker took to answer.
    took_ms: float | None = None
    error: str | None = None


class DebeziumSample(msgspec.Struct, kw_only=True):
    """What Debezium says of itself: how far it is behind its source, and how many events its queue
    still has room for. None for what is not known.
    """

    behind_ms: float | None = None
    queue_remaining: float | None = None
    error: str | None = None


class ProcessSample(msgspec.Struct, kw_only=True):
    """What the processes of one server, or of the harness, take together: memory now, processor
    time and bytes written to storage since each of them began. None where that may not be read.
    """

    processes: int
    cpu_s: float
    rss_bytes: int
    uss_bytes: int | None
    written_bytes: int | None


class WatchedProcesses(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /processes`: processes that are to be counted for themselves, pids by name."""

    pids: dict[str, int]


class GaugeSample(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All gauges at one moment (wall us); those that are not watched are not there."""

    at_us: int
    slot: SlotSample | None = None
    group: GroupSample | None = None
    processes: dict[str, ProcessSample] | None = None
    debezium: DebeziumSample | None = None

    @property
    def slot_lag_bytes(self) -> int | None:
        """Bytes of WAL that the slot holds back."""
        return None if self.slot is None else self.slot.lag_bytes

    @property
    def group_lag(self) -> int | None:
        """Events behind, by the group's committed offsets."""
        return None if self.group is None else self.group.lag


class GaugeSamples(msgspec.Struct):
    """Samples of a while, the number to ask from next time, and how many that were asked for are
    forgotten.
    """

    samples: list[GaugeSample]
    next: int
    forgotten: int = 0


class TapPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a tap is reached, and whether it sees states instead of events."""

    webhook_url: str = ""
    state: bool = False


class ObserverReady(Versioned, kw_only=True, frozen=True):
    """The observer's ready line."""

    event: str = "observer.ready"
    url: str
    taps: dict[str, TapPlace]


class TapTelemetry(msgspec.Struct, kw_only=True):
    """One tap's figures so far."""

    name: str = ""
    kind: str = ""
    events: int = 0
    unreadable: int = 0
    errors: list[str] = []
    #: Events that nobody of ours made of the run's rows, and the first keys of them.
    written_by_others: int = 0
    others_keys: list[int] = []
    #: What is to be known of these figures; empty where nothing is.
    remark: str = ""
    steps: dict[int, StepTelemetry]
    fences: list[int] = []
    fenced_partitions: list[int] = []
    #: Further figures of this kind of tap, such as how far it is behind itself.
    gauges: dict[str, object] = {}


class ObserverSnapshot(Versioned, kw_only=True, frozen=True):
    """`GET /snapshot`: all taps, and the gauges' newest sample."""

    taps: dict[str, TapTelemetry]
    gauges: GaugeSample | None = None


class ObserverProgress(msgspec.Struct):
    """`GET /progress`: by tap, in the order in which events pass them."""

    taps: dict[str, ProgressTelemetry]


class Difference(msgspec.Struct):
    """One located difference: a key, and its version on either side (None where it has no row)."""

    finding: str
    key: int
    source_version: int | None
    sink_version: int | None
    #: Of a corrupt row, the columns at fault: what the source holds, and what the sink.
    columns: dict[str, tuple[str, str]] = {}


class Final(msgspec.Struct, kw_only=True):
    """What the sink holds in the end: rows missing, older than the source's (stale), or with other
    contents; further rows of a key that it has already (repeated); rows whose key was deleted, as
    they were just before (undeleted: the delete never had an effect) or as they were earlier
    (resurrected: an old change came after it); and rows that nobody wrote (extra).
    """

    compared: int = 0
    missing: int = 0
    extra: int = 0
    repeated: int = 0
    undeleted: int = 0
    resurrected: int = 0
    stale: int = 0
    corrupt: int = 0
    examples: list[Difference] = msgspec.field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether both sides hold the same."""
        return not any(getattr(self, name) for name in FINAL_FINDINGS)


#: Each way in which a sink's row can differ.
FINAL_FINDINGS = (
    "missing",
    "extra",
    "repeated",
    "undeleted",
    "resurrected",
    "stale",
    "corrupt",
)


class ExpectedSide(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind", tag="expected"):
    """What the writers say: keys and versions (packed arrays), and keys that may hold anything."""

    keys: str
    versions: str
    doubtful: str | None = None


class TapSide(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind", tag="tap"):
    """What a tap has last seen of each key."""

    name: str


FinalSide = PostgresSideSettings | IcebergSideSettings | ExpectedSide | TapSide


class PlacesRequest(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /places`: where a tap saw these events, each a writer and a sequence."""

    tap: str
    events: list[tuple[int, int]]


class PlacesFound(msgspec.Struct):
    """Each event that is known: writer, sequence, partition, position and key."""

    places: list[EventPlace]


class FinalRequest(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /final`."""

    source: FinalSide
    sink: FinalSide
    #: Keys that the writers have deleted, and the versions of those deletes (packed).
    gone: str | None = None
    gone_versions: str | None = None
