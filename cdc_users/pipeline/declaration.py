"""The parts of which a pipeline can consist, and what each part declares for the harness.

A sink, a transport, a source or a capture is one file in the folder of its kind, or an installed
distribution's entry point in the group of its kind (CONTRIBUTING.md has the steps). Everything else
follows from these records: the choices of options, what is created and removed, the platform's
command line, what the observer watches, and what the final comparison reads.

Records are light and import no client library, because every process that reads options reads them.
Functions of a record that need a library import it themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cdc_users.observe.message import FinalSide, TapPlace
from cdc_users.observe.settings import TapSettings
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.scenario import OwnOption, Pipeline
from cdc_users.users.target import LaneTarget
from infra.client.access import HTTP_FILES
from infra.plugin import Offer, from_outside, lacking, offered
from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.read import beside
from infra.stack.pipeline_file.section import TapSection

SINK_GROUP = "locust_cdc.sinks"
TRANSPORT_GROUP = "locust_cdc.transports"
SOURCE_GROUP = "locust_cdc.sources"
CAPTURE_GROUP = "locust_cdc.captures"
OUTLET_GROUP = "locust_cdc.outlets"

#: The value for no sink.
DEFAULT_SINK = "counting"
_OUR_READER = "infra.platform.wal"
_OUR_PLATFORM = "infra.platform"
#: Arguments of the platform's command line: names without dashes, and values.
Arguments = Mapping[str, object]


def _no_arguments(prepared: Prepared, tap: TapPlace) -> Arguments:  # noqa: ARG001 - none are needed
    return {}


def _unseen(prepared: Prepared) -> None:  # noqa: ARG001 - there is nothing to see
    return


def _nothing_there(ground: Ground, place: str) -> MadeNames:  # noqa: ARG001 - nothing is created
    return {}


def _nothing_to_fetch() -> None:
    return


def _nothing(ground: Ground) -> MadeNames:  # noqa: ARG001 - nothing is created
    return {}


@dataclass(frozen=True, slots=True)
class SinkDeclaration:
    """A sink of the platform, as the harness knows it.

    `arguments` gives the platform's arguments. It also gets what the sink's tap reports once the
    observer is up (a webhook tap: its URL). `tap` is what the observer watches if every event can
    be seen there; None if only the platform sees them. `watch` is a tap that costs the sink more,
    for runs in which the platform may be down for a while. `final` is the table that is compared
    with the source at the end. `provision` creates what the sink writes to and returns its Names by
    field. `takes` are the arguments that follow from the pipeline's own fields
    (scenario.platform_arguments); `options` are those that only this sink has, each with the
    argument that it becomes. `package` is what a plain installation lacks, and `extra` brings it.
    `writes` says whether a write takes enough time for a line in tables; a sink that is not `real`
    was made for measuring. `module` starts what writes to the sink, which is ready within
    `ready_s`; `fetch` downloads its files before anything is created.
    """

    name: str
    arguments: Callable[[Prepared, TapPlace], Arguments] = _no_arguments
    tap: Callable[[Prepared], TapSettings | None] = _unseen
    watch: Callable[[Prepared], TapSettings | None] = _unseen
    final: Callable[[Prepared], FinalSide | None] = _unseen
    provision: Callable[[Ground], MadeNames] = _nothing
    takes: tuple[str, ...] = ()
    options: tuple[OwnOption, ...] = ()
    package: str = ""
    extra: str = ""
    writes: bool = True
    real: bool = True
    module: str = _OUR_PLATFORM
    ready_s: float = 60.0
    fetch: Callable[[], None] = _nothing_to_fetch

    @property
    def is_ours(self) -> bool:
        """Whether the reference platform writes to it."""
        return self.module == _OUR_PLATFORM

    @property
    def seen(self) -> bool:
        """Whether a tap of ours can see each event that comes out of it."""
        return self.tap is not _unseen or self.watch is not _unseen

    @property
    def lacking(self) -> str | None:
        """What the sink needs and this installation lacks; None if nothing is lacking."""
        return lacking(self.package, self.extra)


@dataclass(frozen=True, slots=True)
class TransportDeclaration:
    """What a capture publishes to, as the harness knows it.

    `tap` is what the observer watches there, if the user names no place. `create` makes a stream in
    the service at an endpoint and returns Names.stream; `delete` removes a stream by endpoint and
    name. `emulator` starts a server for the run, if neither the transport's option nor `variable`
    names one; `is_endpoint` and `form` define an endpoint. A transport `of_kafka` has topics on the
    stack's own broker, and Debezium can write to it too. A transport that is no service has a
    `provision` instead, which makes the place that is written to (Names.stream), and possibly
    `finals`, the tables that are compared with the source's. A `named` transport is only for
    captures that name it. Processes that write to a transport `of_aws` get the environment's AWS
    keys. `options`, `package` and `extra` are as in a sink.
    """

    name: str
    label: str
    tap: Callable[[Prepared], TapSettings | None] = _unseen
    create: Callable[[str, str, int], Mapping[str, str]] | None = None
    delete: Callable[[str, str], None] | None = None
    variable: str = ""
    is_endpoint: Callable[[str], bool] = bool
    form: str = "an endpoint"
    emulator: Callable[[Path], AbstractContextManager[str]] | None = None
    provision: Callable[[Ground], Mapping[str, str]] | None = None
    finals: Callable[[Prepared], Sequence[FinalSide]] = lambda _: ()
    named: bool = False
    arguments: Callable[[Prepared, TapPlace], Arguments] = _no_arguments
    options: tuple[OwnOption, ...] = ()
    of_kafka: bool = False
    of_aws: bool = False
    package: str = ""
    extra: str = ""

    @property
    def lacking(self) -> str | None:
        """What the transport needs and this installation lacks; None if nothing is lacking."""
        return lacking(self.package, self.extra)


@dataclass(frozen=True, slots=True)
class OutletDeclaration:
    """Where events come out of the user's own pipeline: `--sink-tap NAME:PLACE`.

    `place` describes PLACE; `check` reads it and raises ValueError with the remedy. `tap` is what
    the observer watches there; `finals` the tables that are compared at the end. `provision` checks
    the place before any load, and creates what the tap needs. A place may name several `tables` by
    comma, one for each source table. If `messages` come out, the user may name the place of their
    probe. An outlet whose server is named by a URL has a `prefix`: PREFIX_URL is the URL's
    variable; PREFIX_USER and so on are the login; `is_endpoint` and `form` define the URL. An
    outlet of `states` shows a table's rows and not each change. `package` and `extra` are as in a
    sink.
    """

    name: str
    place: str
    check: Callable[[str], object]
    tap: Callable[[Prepared, str], TapSettings]
    finals: Callable[[Prepared, str], Sequence[FinalSide]] = lambda _, __: ()
    provision: Callable[[Ground, str], MadeNames] = _nothing_there
    messages: bool = False
    tables: bool = False
    states: bool = False
    prefix: str = ""
    is_endpoint: Callable[[str], bool] = bool
    form: str = ""
    package: str = ""
    extra: str = ""

    @property
    def lacking(self) -> str | None:
        """What the outlet needs and this installation lacks; None if nothing is lacking."""
        return lacking(self.package, self.extra)

    def access(self, tap: TapSection, path: Path) -> dict[str, str]:
        """The variables for a tap of a pipeline file; paths are relative to that file."""
        given = {"url": tap.url, "user": tap.user} | {
            name: beside(path, getattr(tap, name)) for name in HTTP_FILES
        }
        return {f"{self.prefix}_{name.upper()}": text for name, text in given.items() if text}


@dataclass(frozen=True, slots=True)
class SourceDeclaration:
    """Where rows go in.

    `lanes` is the attribute of a shape that has the user class for this source. `target` is what
    the lanes must know of the place that they write to; `finals` are the tables that the sink is
    compared with. `provision` creates what the lanes write to. A capture can read a source that is
    a `database`. `check` refuses a server of the user's that cannot be one, before anything is
    created; it gets the pipeline, because the user may have a capture of their own. `host` is where
    a server of the user's is; None if there is none. `server` starts a server for a run that names
    none, whose files `fetch` downloads before anything is created. In a `timed` source's log each
    commit has its exact time.
    """

    name: str
    lanes: str
    target: Callable[[Prepared], LaneTarget]
    provision: Callable[[Ground], MadeNames]
    finals: Callable[[Prepared], Sequence[FinalSide]] = lambda _: ()
    database: bool = False
    check: Callable[[Endpoints, Pipeline], None] = lambda _, __: None
    host: Callable[[Endpoints], str | None] = lambda _: None
    server: Callable[[Path], AbstractContextManager[str]] | None = None
    fetch: Callable[[Endpoints], None] = lambda _: None
    timed: bool = False


@dataclass(frozen=True, slots=True)
class CaptureDeclaration:
    """What reads the database's log.

    `provision` creates it, or the objects that it needs. A `direct` capture is a process of the
    platform that publishes to a transport. The transport is then the end, unless the capture
    `feeds` a consumer: `feeds` has the arguments with which it writes to Kafka as Debezium would.
    `connector` returns the name of the created connector, if there is one. `module` starts a direct
    capture's process, which is ready within `ready_s`; `sources` are the databases that it can
    read, `transports` are those that it can write to (if it names none: every service for a direct
    one, Kafka alone for another). `fetch` downloads its files before anything is created. A capture
    that `runs_already` is the user's own, with everything behind it. If it `is_debezium`, the
    harness knows which values it does not send.
    """

    name: str
    label: str
    provision: Callable[[Ground], MadeNames]
    direct: bool = False
    runs_already: bool = False
    is_debezium: bool = False
    feeds: Callable[[Prepared], Arguments] | None = None
    connector: Callable[[str], str] = lambda _: ""
    module: str = _OUR_READER
    sources: tuple[str, ...] = ("postgres",)
    transports: tuple[str, ...] = ()
    ready_s: float = 60.0
    fetch: Callable[[], None] = _nothing_to_fetch

    @property
    def is_ours(self) -> bool:
        """Whether the direct reader is the capture, which reports what it has published."""
        return self.direct and self.module == _OUR_READER and not self.runs_already

    def publishes_to(self, transport: TransportDeclaration) -> bool:
        """Whether the capture can write to this transport."""
        if self.transports:
            return transport.name in self.transports
        return not transport.named and (self.direct or transport.of_kafka)


@functools.cache
def sinks() -> Offer[SinkDeclaration]:
    """Every sink by name, those made for measuring first."""
    return offered(
        "cdc_users.pipeline.sinks",
        SinkDeclaration,
        SINK_GROUP,
        lambda sink: (sink.real, sink.name),
    )


@functools.cache
def transports() -> Offer[TransportDeclaration]:
    """Every transport by name."""
    return offered(
        "cdc_users.pipeline.transports",
        TransportDeclaration,
        TRANSPORT_GROUP,
        lambda transport: (not transport.of_kafka, transport.name),
    )


@functools.cache
def sources() -> Offer[SourceDeclaration]:
    """Every source by name, databases first."""
    return offered(
        "cdc_users.pipeline.sources",
        SourceDeclaration,
        SOURCE_GROUP,
        lambda source: (not source.database, source.name),
    )


@functools.cache
def outlets() -> Offer[OutletDeclaration]:
    """Every place by name where events can come out of a pipeline of the user's own."""
    return offered(
        "cdc_users.pipeline.outlets", OutletDeclaration, OUTLET_GROUP, lambda one: (one.name,)
    )


@functools.cache
def captures() -> Offer[CaptureDeclaration]:
    """Every capture by name."""
    return offered(
        "cdc_users.pipeline.captures",
        CaptureDeclaration,
        CAPTURE_GROUP,
        lambda capture: (capture.direct, capture.name),
    )


def asks_aws(pipeline: Pipeline) -> bool:
    """Whether one of its processes may use AWS; true for parts from outside, which may."""
    return transports().by_name[pipeline.transport].of_aws or from_outside("locust_cdc.")


def is_direct(pipeline: Pipeline) -> bool:
    """Whether a reader of the database's log is the whole system under test, without a consumer."""
    captured = sources().by_name[pipeline.source].database
    direct = captured and captures().by_name[pipeline.capture].direct
    return direct and not feeds_consumer(pipeline)


def feeds_consumer(pipeline: Pipeline) -> bool:
    """Whether a reader of the database's log writes to Kafka, for the platform's consumer."""
    if not sources().by_name[pipeline.source].database:
        return False
    return can_feed(pipeline.capture, pipeline.transport, pipeline.sink)


def can_feed(capture: str, transport: str, sink: str) -> bool:
    """Whether this capture has a consumer behind it.

    The direct reader's own stream is watched as a counting sink would be, so with the direct reader
    `counting` means no sink.
    """
    known, to = captures().by_name.get(capture), transports().by_name.get(transport)
    if known is None or known.feeds is None or to is None:
        return False
    return to.of_kafka and sink != DEFAULT_SINK


def own_options(pipeline: Pipeline) -> tuple[OwnOption, ...]:
    """The options that this pipeline's sink and transport declare."""
    parts = (
        sinks().by_name.get(pipeline.sink),
        transports().by_name.get(pipeline.transport),
    )
    return tuple(option for part in parts if part is not None for option in part.options)


def plugin_mistakes() -> list[str]:
    """The mistakes of installed distributions; a run does not start with any."""
    offers = (sinks(), transports(), sources(), captures(), outlets())
    return [mistake for offer in offers for mistake in offer.mistakes]
