"""Options: all mistakes at once, defaults that give way as a whole."""

from __future__ import annotations

import re

import pytest

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import LoadStage, Schedule
from cdc_users.options.options import OPTIONS, Options, command_line, resolve, texts, workload_of
from cdc_users.scenario import Scenario
from cdc_users.shapes.schedule import schedule_of, stages_of
from cdc_users.users.workload.workload import Workload

DEFAULTS = {"rows": "100,500,10000"}


def read(**given: str) -> Options:
    return resolve(texts(given, DEFAULTS))


def test_the_scenarios_defaults_hold_where_nothing_is_given() -> None:
    assert read().rows == (100, 500, 10_000)


def test_a_rate_takes_the_place_of_the_default_volumes() -> None:
    options = read(rate="1000/s", duration="30s")

    assert (options.rows, options.rate, options.duration) == ((), 1000.0, 30.0)


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(OptionsError) as caught:
        read(rows="0", lanes="many", sink="nowhere", drain_timeout="60", smoke="perhaps")

    flags = ("--rows", "--lanes", "--sink", "--drain-timeout", "--smoke")
    assert [mistake.split(":")[0] for mistake in caught.value.mistakes] == sorted(
        flags, key=[option.flag for option in OPTIONS].index
    )


def test_more_lanes_than_a_step_has_numbers_for_are_refused_beforehand() -> None:
    assert read(lanes="10000").lanes == 10_000
    with pytest.raises(OptionsError, match=r"--lanes: '10001' must be at most 10,000"):
        read(lanes="10001")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"rows": "10", "rate": "5", "duration": "1s"}, "name one load"),
        ({"rate": "5"}, "--rate needs --duration"),
        ({"rows": "10", "duration": "1s"}, "--duration needs --rate"),
        ({"batch_size": "50", "max_buffered_messages": "10"}, "a batch would never fit"),
        ({"rows": "10", "stages": "5/s:1s"}, "--rows and --stages contradict"),
        ({"rate": "5", "duration": "1s", "stages": "5/s:1s"}, "--rate and --stages contradict"),
        ({"rate": "0.1", "duration": "1s"}, "makes no arrival"),
        ({"source": "topic", "insert_method": "copy"}, "a topic takes no INSERT"),
        ({"key_skew": "zipf:1.1"}, "needs updates or deletes"),
        ({"tables": "2", "source": "topic", "topic": "mine"}, "name all of yours by --table"),
        ({"rows": "10", "rows_per_transaction": "3", "insert_method": "values"}, "not a multiple"),
        ({"instances": "3", "partitions": "2"}, "1 would idle"),
    ],
)
def test_contradictions_name_the_remedy(given: dict[str, str], remedy: str) -> None:
    with pytest.raises(OptionsError, match=remedy):
        read(**given)


OWN_TABLE = {"connector": "c", "table": "a.b", "topic": "t"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"topic": "t"}, ["--topic needs the --connector"]),
        ({**OWN_TABLE, "source": "topic"}, ["--connector needs --source postgres"]),
        (
            {**OWN_TABLE, "capture": "wal"},
            [
                f"--{name} is not possible with --capture wal"
                for name in ("topic", "connector", "table")
            ],
        ),
        (
            {"capture": "wal", "platform": "none", "sink_tap": "webhook:8080"},
            ["--sink-tap is not possible", "--platform none is not possible"],
        ),
        (
            {"capture": "wal", "transport": "kinesis", "sink": "postgres"},
            ["--sink postgres is not possible"],
        ),
        (
            {"capture": "wal", "instances": "2", "partitions": "2"},
            ["--instances 2 is not possible"],
        ),
        (
            {"kinesis_endpoint": "http://127.0.0.1:1"},
            ["--kinesis-endpoint does nothing with --transport kafka"],
        ),
        (
            {"capture": "wal", "transport": "kinesis", "kinesis_endpoint": "nonsense"},
            ["--kinesis-endpoint: 'nonsense' is not a URL"],
        ),
        (
            {
                "capture": "wal",
                "transport": "kinesis",
                "kinesis_endpoint": "https://kinesis.example",
            },
            ["add --allow-target kinesis.example:443"],
        ),
        (
            {"capture": "wal", "transport": "pubsub", "pubsub_endpoint": "http://x"},
            ["--pubsub-endpoint: 'http://x' is not HOST:PORT"],
        ),
        (
            {"capture": "wal", "transport": "pubsub", "pubsub_endpoint": "10.0.0.1:8085"},
            ["add --allow-target 10.0.0.1:8085"],
        ),
        (
            {"transport": "http"},
            ["--transport http is not possible with --capture debezium, which has kafka; it needs"],
        ),
        (
            {"capture": "wal", "transport": "postgres"},
            ["it needs --capture debezium-server or subscription"],
        ),
        (
            {"capture": "subscription", "transport": "kinesis"},
            ["--transport kinesis is not possible with --capture subscription, which has postgres"],
        ),
        ({"platform": "none"}, ["--platform none needs --sink-tap"]),
        ({"sink_tap": "webhook:8080"}, ["--sink-tap needs a platform of yours"]),
        ({"probe_path": "record.note"}, ["it needs --sink-tap of nats, redis, topic, webhook"]),
        (
            {"platform": "none", "sink_tap": "postgres:public.copy", "probe_path": "record.note"},
            ["postgres has columns: name one with --probe-column"],
        ),
        ({"group": "mine"}, ["--group is that of a platform that runs already"]),
        (
            {"capture": "none", "transport": "none"},
            ["--capture none is a pipeline of yours that runs already; it needs"],
        ),
        (
            {
                "capture": "none",
                "transport": "none",
                "platform": "none",
                "table": "public.orders",
                "sink_tap": "postgres:public.copy",
                "mix": "insert=1,update=1",
            },
            ["--sink-tap postgres sees a table's rows and not each change"],
        ),
        ({"rate": "abc", "duration": "30s"}, ["--rate: 'abc' is not a rate"]),
        ({"rate": "5", "duration": "long"}, ["--duration: 'long' is not a duration"]),
        ({"platform": "none", "sink_tap": "webhook:0"}, ["--sink-tap: 'webhook:0' names no port"]),
        (
            {"rows": "50000", "rows_per_transaction": "50000", "mix": "insert=2,delete=1"},
            ["--rows-per-transaction 50000 with deletes in --mix must be at most 49,999"],
        ),
    ],
)
def test_each_mistake_is_told_once(given: dict[str, str], told: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        read(**given)

    assert len(caught.value.mistakes) == len(told)
    assert all(part in mistake for part, mistake in zip(told, caught.value.mistakes, strict=True))


@pytest.mark.parametrize(
    "given",
    [
        {"transport": "kinesis", "kinesis_endpoint": "http://[::1]:4567"},
        {
            "transport": "kinesis",
            "kinesis_endpoint": "https://k.example",
            "allow_target": "k.example:443",
        },
        {"transport": "pubsub", "pubsub_endpoint": "localhost:8085"},
    ],
)
def test_a_service_of_ones_own_may_be_loaded_where_it_is_here_or_allowed(
    given: dict[str, str],
) -> None:
    assert read(capture="wal", **given)


def test_stages_take_the_place_of_the_default_volumes() -> None:
    options = read(stages="warmup:10/s:1s,10/s->50/s:2s", warm_up="3s")

    assert options.rows == ()
    assert stages_of(options) == (
        LoadStage(10, 10, 3.0, warm_up=True),
        LoadStage(10, 10, 1.0, warm_up=True),
        LoadStage(10, 50, 2.0),
    )


def test_a_rate_is_one_stage_and_a_volume_none() -> None:
    assert stages_of(read(rate="20", duration="2s")) == (LoadStage(20, 20, 2.0),)
    assert stages_of(read()) == ()


def test_arrivals_are_spaced_evenly_or_by_the_seed() -> None:
    even = read(rate="100", duration="2s")
    chance = read(rate="100", duration="2s", arrival="poisson", seed="5")

    assert schedule_of(even, stages_of(even)) == Schedule.constant(100, 2)
    assert schedule_of(chance, stages_of(chance)) == Schedule.constant(100, 2, seed=5)


def test_the_workload_is_what_the_options_say() -> None:
    options = read(
        mix="insert=8,update=2",
        key_skew="zipf:1.2",
        live_keys="50",
        tables="3",
        row_bytes="9",
        seed="4",
    )

    assert workload_of(options) == Workload((8, 2, 0), 1.2, 50, 3, 9, "single", 4)


@pytest.mark.parametrize(("text", "late"), [("catch-up", None), ("drop", 0.1), ("drop:50ms", 0.05)])
def test_what_is_late_is_caught_up_with_or_dropped(text: str, late: float | None) -> None:
    assert read(rate="5", duration="1s", late=text).late == late


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mix": "update=1"}, "--mix: 'update=1' has no insert"),
        ({"key_skew": "zipf"}, "--key-skew: 'zipf' is not a skew"),
        ({"stages": "fast"}, "--stages: 'fast' is not a stage"),
        ({"late": "never"}, "--late: 'never' is neither"),
        ({"late": "drop:"}, "--late: 'drop:' is neither"),
        ({"threshold": "lst == 0"}, "--threshold: 'lst' is not a metric; did you mean 'lost'"),
        ({"arrival": "bursty"}, "--arrival: 'bursty' is not one of"),
        ({"seed": "²"}, "--seed: '²' is not a whole number"),
        ({"row_bytes": "²"}, "--row-bytes: '²' is not a whole number"),
        ({"mix": "insert=²"}, "--mix: 'insert=²' is not part of a mix"),
        ({"mix": "insert=9999999"}, "--mix: 'insert=9999999' weighs too much"),
        ({"sinks": ","}, "--sinks: ',' names no sink; name some of counting"),
        ({"threshold": ";"}, "--threshold: ';' has no threshold in it"),
        (
            {"threshold": "p99 < 500ms"},
            "--threshold: 'p99' is not a metric; did you mean 'end_to_end.p99'",
        ),
        ({"lanes": "10001"}, "--lanes: '10001' must be at most 10,000"),
        ({"rows_per_transaction": "100000"}, "'100000' must be at most 99,999"),
        ({"rows": "10,50000001"}, "--rows: '50000001' must be at most 50,000,000"),
        ({"records": "1e9"}, "--records: '1e9' must be at most 50,000,000"),
        ({"records": "1.5"}, "--records: '1.5' is not a whole number"),
        ({"records": "9" * 5000}, f"--records: '{'9' * 40}…' must be at most 50,000,000"),
        ({"records": "1e-3"}, "--records: '1e-3' is not a whole number"),
        ({"records": "1__0"}, "--records: '1__0' is not a whole number"),
        ({"rate": "nan", "duration": "1s"}, "--rate: 'nan' is not a rate"),
        ({"rate": "1e999", "duration": "1s"}, "must be above 0 and below ten million a second"),
        ({"stages": "5k/s:1x"}, "--stages: '1x' is not a duration"),
        ({"tables": "101"}, "--tables: '101' must be at most 100"),
        ({"tables": "2", "sink": "postgres"}, "--tables above 1 needs a sink that keeps their"),
        ({"partitions": "1001"}, "--partitions: '1001' must be at most 1,000"),
        ({"row_bytes": "10000001"}, "--row-bytes: '10000001' must be at most 10,000,000"),
        ({"repeat": "101"}, "--repeat: '101' must be at most 100"),
        ({"drain_timeout": "1001h"}, "--drain-timeout: '1001h' must be at most 1000h"),
        (
            {"platform": "unbalanced 'quote"},
            '--platform: "unbalanced \'quote" is not a command line',
        ),
        (
            {"platform": "/no/such/command --x"},
            "--platform: '/no/such/command --x' names no program",
        ),
        ({"probe_path": "record..note"}, "--probe-path: 'record..note' is no path"),
        ({"sink_tap": "topic:bad name"}, "--sink-tap: 'bad name' is no name for a topic"),
        ({"sink_tap": "webhook:65536"}, "--sink-tap: 'webhook:65536' names no port"),
        ({"topic": "bad topic ü"}, "--topic: 'bad topic ü' is no name for a topic"),
        ({"results": __file__}, "is a file; name another place"),
        ({"results": f"{__file__}/below"}, "is a file; name another place"),
        ({"metrics_port": "²"}, "--metrics-port: '²' is not a port"),
    ],
)
def test_what_cannot_be_understood_names_flag_and_value(given: dict[str, str], named: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(named)):
        read(**given)


def test_an_endpoint_with_a_login_is_not_repeated() -> None:
    with pytest.raises(
        OptionsError, match="--kinesis-endpoint: it holds a user or a password"
    ) as caught:
        read(kinesis_endpoint="http://bob:hush@127.0.0.1:1")

    assert "hush" not in str(caught.value)


def test_a_platform_is_a_name_or_a_program_that_is_there() -> None:
    assert read(platform="sh -c 'exit 1'").platform == "sh -c 'exit 1'"
    assert read(platform="none", sink_tap="topic:enriched").sink_tap == "topic:enriched"


def test_every_option_explains_itself() -> None:
    assert all(option.help.endswith(".") and option.flag.startswith("--") for option in OPTIONS)


def test_a_run_from_the_form_is_repeated_with_the_locustfile_that_was_named() -> None:
    given = {"rows": "5", "locustfile": "mine/waves.py"}

    assert command_line(Scenario("waves", ""), ["-f", "mine/waves.py"], given) == (
        "locust -f mine/waves.py --headless --rows 5"
    )
    assert command_line(Scenario("wal", ""), [], {"locustfile": "locustfiles"}) == (
        "locust -f locustfiles/wal.py --headless"
    )
