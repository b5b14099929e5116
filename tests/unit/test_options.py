"""Options: all mistakes at once, defaults that give way as a whole."""

from __future__ import annotations

import pytest

from cdc_users.error import OptionsError
from cdc_users.options import OPTIONS, Options, resolve, texts

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
        ({"rows": "10", "rows_per_transaction": "5"}, "needs --insert-method values"),
        ({"rows": "10", "rows_per_transaction": "3", "insert_method": "values"}, "not a multiple"),
        ({"instances": "3", "partitions": "2"}, "1 would idle"),
    ],
)
def test_contradictions_name_the_remedy(given: dict[str, str], remedy: str) -> None:
    with pytest.raises(OptionsError, match=remedy):
        read(**given)


def test_every_option_explains_itself() -> None:
    assert all(option.help.endswith(".") and option.flag.startswith("--") for option in OPTIONS)
