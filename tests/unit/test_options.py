"""Options: all mistakes at once, defaults that give way as a whole."""

from __future__ import annotations

import re

import pytest

from cdc_users.error import OptionsError
from cdc_users.load import schedule_of, stages_of, workload_of
from cdc_users.measure.plan import Schedule, Stage
from cdc_users.options import OPTIONS, Options, resolve, texts
from cdc_users.workload import Workload

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
        ({"source": "topic", "insert_method": "copy"}, "a topic knows no INSERT"),
        ({"key_skew": "zipf:1.1"}, "needs updates or deletes"),
        ({"tables": "2", "source": "topic", "topic": "mine"}, "leave --table and --topic out"),
        ({"rows": "10", "rows_per_transaction": "3", "insert_method": "values"}, "not a multiple"),
        ({"instances": "3", "partitions": "2"}, "1 would idle"),
    ],
)
def test_contradictions_name_the_remedy(given: dict[str, str], remedy: str) -> None:
    with pytest.raises(OptionsError, match=remedy):
        read(**given)


def test_stages_take_the_place_of_the_default_volumes() -> None:
    options = read(stages="warmup:10/s:1s,10/s->50/s:2s", warm_up="3s")

    assert options.rows == ()
    assert stages_of(options) == (
        Stage(10, 10, 3.0, warm_up=True),
        Stage(10, 10, 1.0, warm_up=True),
        Stage(10, 50, 2.0),
    )


def test_a_rate_is_one_stage_and_a_volume_none() -> None:
    assert stages_of(read(rate="20", duration="2s")) == (Stage(20, 20, 2.0),)
    assert stages_of(read()) == ()


def test_arrivals_are_spaced_evenly_or_by_the_seed() -> None:
    even = read(rate="100", duration="2s")
    chance = read(rate="100", duration="2s", arrival="poisson", seed="5")

    assert schedule_of(even, stages_of(even)) == Schedule.constant(100, 2)
    assert schedule_of(chance, stages_of(chance)) == Schedule.constant(100, 2, seed=5)


def test_the_workload_is_what_the_options_say() -> None:
    options = read(mix="insert=8,update=2", key_skew="zipf:1.2", live_keys="50", tables="3", row_bytes="9", seed="4")

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
    ],
)
def test_what_cannot_be_understood_names_flag_and_value(given: dict[str, str], named: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(named)):
        read(**given)


def test_every_option_explains_itself() -> None:
    assert all(option.help.endswith(".") and option.flag.startswith("--") for option in OPTIONS)
