"""The options of single scenarios, of the verdict, and of the user's own pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cdc_users.measure.judgement.threshold import Threshold, parse_thresholds
from cdc_users.measure.schedule.plan import parse_duration
from cdc_users.options import fault_load, parse
from cdc_users.options.conflict import own as conflict
from cdc_users.options.fault_names import fault_names
from cdc_users.options.table.load import A_TIME
from cdc_users.options.table.record import CAPACITY, FAULTS, PRESSURE, SCALING, option
from cdc_users.pipeline.outlets import sink_tap


@dataclass(frozen=True)
class ScenarioOptions:
    """Options that one scenario alone reads."""

    TITLE: ClassVar = "The scenario's own"

    overload: float = option(
        parse.factor,
        "Backpressure: offered load as a multiple of what the sink can take.",
        default="3",
        takes="a number above 1, up to 1000",
        only_in=(PRESSURE,),
    )
    fill: float = option(
        parse_duration,
        "Backpressure: how long queues are given to fill under overload.",
        default="5s",
        takes=A_TIME,
        only_in=(PRESSURE,),
    )
    hold: float = option(
        parse_duration,
        "Backpressure: how long the overload is then held and judged. Faults: how long each fault"
        " lasts.",
        default="10s",
        takes=A_TIME,
        only_in=(PRESSURE, FAULTS),
    )
    faults: tuple[str, ...] = option(
        fault_names,
        "Faults: names from docs/faults.md, one step for each; or all, for those that this"
        " pipeline allows.",
        unset=(),
        takes="names by comma, or all",
        only_in=(FAULTS,),
    )
    rounds: int = option(
        parse.Count(100),
        "Faults: how often each fault is done; --seed decides each round's order.",
        default="1",
        only_in=(FAULTS,),
    )
    at: float | None = option(
        fault_load.share,
        "Faults: the load as a share of --capacity, instead of --rate.",
        unset=None,
        takes="a percentage, e.g. 50%",
        only_in=(FAULTS,),
        rules=(fault_load.share_has_a_capacity,),
    )
    steady: float = option(
        parse_duration,
        "Faults: how long the load is held before each fault, to measure the baseline.",
        default="10s",
        takes=A_TIME,
        only_in=(FAULTS,),
    )
    recover: float = option(
        parse_duration,
        "Faults: how long the load goes on after each fault at most, until the pipeline has"
        " recovered.",
        default="60s",
        takes=A_TIME,
        only_in=(FAULTS,),
    )
    repeat: int = option(
        parse.Count(100),
        "Partitions: how often all steps are run; rounds are compared one by one.",
        default="1",
        only_in=(SCALING,),
    )


@dataclass(frozen=True)
class VerdictOptions:
    """The conditions that a run must meet."""

    TITLE: ClassVar = "Verdict"

    threshold: tuple[Threshold, ...] = option(
        parse_thresholds,
        "What must hold, several by semicolon, e.g. 'end_to_end.p99 < 500ms; throughput > 2000/s'.",
        unset=(),
        takes="METRIC < VALUE, several by semicolon",
        not_in={CAPACITY: "use --slo"},
    )
    drain_timeout: float = option(
        parse_duration,
        "How long to wait for the last event once the load has ended.",
        default="60s",
        takes=A_TIME,
    )


@dataclass(frozen=True)
class OwnPipelineOptions:
    """The parts of the pipeline that are the user's own."""

    TITLE: ClassVar = "Your own pipeline"

    topic: str = option(
        parse.topics,
        "A topic of yours, used unchanged in place of a fresh one; one for each of --table.",
        unset="",
        takes="a topic, several by comma",
        rules=(
            conflict.not_of_the_direct_reader("topic"),
            conflict.topic_has_a_connector,
            conflict.a_topic_for_each_table,
        ),
    )
    connector: str = option(
        str,
        "A connector of yours, used unchanged; needs --table and --topic.",
        unset="",
        takes="a name",
        rules=(
            conflict.not_of_the_direct_reader("connector"),
            conflict.connector_has_table_and_topic,
            conflict.connector_has_a_database,
        ),
    )
    table: str = option(
        parse.tables,
        "Tables of yours for the rows, in place of the run's own: several by comma,"
        " referenced tables first. The run's rows are removed at the end.",
        unset="",
        takes="SCHEMA.TABLE, several by comma",
        rules=(conflict.not_of_the_direct_reader("table"), conflict.table_has_a_database),
    )
    probe_column: str = option(
        parse.column,
        "For --table: the text column that holds each row's probe.",
        default="probe",
        takes="a column",
        rules=(conflict.of_own_tables("probe_column", "probe"),),
    )
    add_probe: bool = option(
        parse.flag,
        "For --table: yes adds that column where it is missing, and removes it after the run.",
        default="no",
        takes=parse.YES_OR_NO,
        rules=(conflict.of_own_tables("add_probe", False),),
    )
    keep_rows: bool = option(
        parse.flag,
        "For --table: yes leaves the run's rows in the tables.",
        default="no",
        takes=parse.YES_OR_NO,
        rules=(conflict.of_own_tables("keep_rows", False),),
    )
    sink_tap: str = option(
        sink_tap.checked,
        f"Where events come out of your own platform: {sink_tap.forms()}; several by semicolon.",
        unset="",
        takes="KIND:PLACE or NAME=KIND:PLACE",
        rules=(
            conflict.own_stream_is_watched,
            conflict.none_has_a_sink_tap,
            conflict.a_place_for_each_table,
        ),
    )
    probe_path: str = option(
        parse.probe_path,
        "For --sink-tap: where a message of your own form has the probe; the object around it"
        " is the row.",
        unset="",
        takes="names with points between, e.g. record.note",
        rules=(conflict.probe_path_is_of_messages,),
    )
    group: str = option(
        str,
        "The consumer group of your own platform, whose lag is shown.",
        unset="",
        takes="a name",
        rules=(conflict.group_of_a_platform_of_yours,),
    )
    kinesis_endpoint: str = option(
        parse.kinesis_endpoint,
        "URL of a Kinesis of your own (or AWS_ENDPOINT_URL_KINESIS); empty starts an emulator.",
        unset="",
        takes="a URL",
        rules=(conflict.endpoint_of("kinesis"),),
    )
    pubsub_endpoint: str = option(
        parse.pubsub_endpoint,
        "HOST:PORT of a Pub/Sub emulator of your own (or PUBSUB_EMULATOR_HOST); empty starts one.",
        unset="",
        takes="HOST:PORT",
        rules=(conflict.endpoint_of("pubsub"),),
    )
