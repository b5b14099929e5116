"""The observer's answers, and the request for a final comparison (docs/observer.md)."""

from __future__ import annotations

import msgspec

from cdc_users.measure.ledger.place import EventPlace
from cdc_users.measure.step import ProgressTelemetry, StepTelemetry
from cdc_users.measure.wire import Versioned
from cdc_users.observe.settings import IcebergSideSettings, PostgresSideSettings


class SlotSample(msgspec.Struct, kw_only=True):
    """A replication slot; None for figures that are not known, with the reason in `error`."""

    active: bool | None = None
    wal_status: str | None = None
    lag_bytes: int | None = None
    retained_bytes: int | None = None
    #: All bytes that the server has ever written to its WAL.
    wal_bytes: int | None = None
    #: How much WAL may still be written before the slot is lost; None if there is no limit.
    safe_wal_bytes: int | None = None
    #: How far its reader is behind the current WAL: what was sent to it, and what it reports as
    #: received, flushed and applied.
    sent_lag_bytes: int | None = None
    write_lag_bytes: int | None = None
    flush_lag_bytes: int | None = None
    replay_lag_bytes: int | None = None
    #: Whether its walsender is at work; false while it waits for WAL or for its reader to take what
    #: was sent. None without the right to see that (pg_read_all_stats).
    sender_busy: bool | None = None
    #: What decoding has spilled to disk and streamed in progress, since the statistics began.
    spilled_bytes: int | None = None
    streamed_bytes: int | None = None
    #: The lag of every other slot of the server, by name.
    others: dict[str, int] = {}
    error: str | None = None


class GroupSample(msgspec.Struct, kw_only=True):
    """A consumer group's lag in events, in all and by partition; None where not known."""

    lag: int | None = None
    partitions: dict[str, int] = {}
    #: How long the broker took to answer, or to fail.
    took_ms: float | None = None
    error: str | None = None


class DebeziumSample(msgspec.Struct, kw_only=True):
    """Debezium's own metrics: how far it is behind its source, and how many more events fit into
    its queue. None where not known.
    """

    behind_ms: float | None = None
    queue_remaining: float | None = None
    error: str | None = None


class ProcessSample(msgspec.Struct, kw_only=True):
    """The processes of one server, or of the harness, together: memory now; processor time and
    bytes written since their starts. None for what may not be read.
    """

    processes: int
    cpu_s: float
    rss_bytes: int
    uss_bytes: int | None
    written_bytes: int | None


class WatchedProcesses(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /processes`: processes to measure separately, pids by name."""

    pids: dict[str, int]


class GaugeSample(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All gauges at one moment (wall us); those that are not configured are missing."""

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
    """A span of samples, the number for the next request, and how many requested ones were
    dropped.
    """

    samples: list[GaugeSample]
    next: int
    forgotten: int = 0


class TapPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tap's address, and whether it sees states instead of events."""

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
    #: How many changes to the run's rows somebody else made, and the first keys of them.
    written_by_others: int = 0
    others_keys: list[int] = []
    #: Remarks on these figures.
    remark: str = ""
    steps: dict[int, StepTelemetry]
    fences: list[int] = []
    fenced_partitions: list[int] = []
    #: Further figures of this kind of tap, such as its own delay.
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
    #: For a corrupt row, the columns at fault with the source's and the sink's value.
    columns: dict[str, tuple[str, str]] = {}


class Final(msgspec.Struct, kw_only=True):
    """The final contents of the sink: rows that are missing, older than the source's (stale), or
    different (corrupt); further rows of a key (repeated). Rows whose key was deleted, in the state
    just before the delete (undeleted: the delete had no effect) or in an earlier one (resurrected:
    an old change came after it); and rows that nobody wrote (extra).
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
        """Whether both sides have the same contents."""
        return not any(getattr(self, name) for name in FINAL_FINDINGS)


#: The ways in which a sink's row can differ.
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
    """The writers' knowledge: keys and versions (packed arrays), and keys that may have any
    state.
    """

    keys: str
    versions: str
    doubtful: str | None = None


class TapSide(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind", tag="tap"):
    """The last version of each key that a tap has seen."""

    name: str


FinalSide = PostgresSideSettings | IcebergSideSettings | ExpectedSide | TapSide


class PlacesRequest(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /places`: where a tap saw these events (writer and sequence)."""

    tap: str
    events: list[tuple[int, int]]


class PlacesFound(msgspec.Struct):
    """Each known event: writer, sequence, partition, position and key."""

    places: list[EventPlace]


class FinalRequest(msgspec.Struct, kw_only=True, frozen=True):
    """`POST /final`."""

    source: FinalSide
    sink: FinalSide
    #: Keys that the writers have deleted, and the versions of those deletes (packed).
    gone: str | None = None
    gone_versions: str | None = None
