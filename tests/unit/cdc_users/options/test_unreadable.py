"""A text that cannot be read is one mistake: no rule says a second one of a value that it does not
know.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.options import OPTIONS, resolve

#: No reader takes this.
GARBAGE = "?!, ?!"
#: Options that can stand together, so that each rule has something to say of its neighbours.
VALID: Mapping[str, Mapping[str, str]] = {
    "burst": {"rows": "100", "rows_per_transaction": "10", "insert_method": "copy"},
    "paced": {"rate": "100", "duration": "30s", "arrival": "poisson", "late": "drop"},
    "staged": {"stages": "10:5s,10->20:5s"},
    "scaling": {"partitions": "4,8", "instances": "1,4", "batch_size": "20"},
    "small": {"batch_size": "900", "max_buffered_messages": "1000"},
    "direct": {"capture": "wal", "transport": "kinesis"},
    "reader": {"capture": "wal", "transport": "kafka", "sink": "postgres"},
    "shared": {
        "capture": "wal",
        "transport": "kafka",
        "sink": "postgres",
        "instances": "2",
        "partitions": "2",
    },
    "topic": {"source": "topic", "evolve_at": "5", "debezium_headers": "yes"},
    "changes": {"mix": "insert=60,update=20,delete=20", "key_skew": "zipf:1.1"},
    "own": {
        "table": "public.a,public.b",
        "topic": "a,b",
        "connector": "mine",
        "platform": "none",
        "sink_tap": "webhook:8080",
        "group": "theirs",
        "probe_path": "record.note",
    },
    "beyond": {
        "capture": "none",
        "transport": "none",
        "table": "public.a",
        "platform": "none",
        "sink_tap": "webhook:8080",
    },
    "search": {"slo": "end_to_end.p99 < 1s", "from_": "200", "most": "1000", "outage": "20s"},
    "faults": {"faults": "kill-connect", "at": "50%", "capacity": "400"},
    "several": {"tables": "3", "sink": "webhook"},
}


def mistakes(given: Mapping[str, str]) -> list[str]:
    try:
        resolve(given)
    except OptionsError as error:
        return list(error.mistakes)
    return []


def read_by_nothing(name: str) -> bool:
    option = next(option for option in OPTIONS if option.name == name)
    try:
        option.value(GARBAGE)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("kind", VALID)
def test_options_that_fit_each_other_are_taken(kind: str) -> None:
    assert mistakes(VALID[kind]) == []


@pytest.mark.parametrize("kind", VALID)
def test_one_unreadable_text_is_one_mistake_whatever_stands_beside_it(kind: str) -> None:
    for option in OPTIONS:
        if read_by_nothing(option.name):
            told = mistakes({**VALID[kind], option.name: GARBAGE})
            assert [one.partition(":")[0] for one in told] == [option.flag], told


@pytest.mark.parametrize("kind", VALID)
def test_every_unreadable_text_is_told_at_once(kind: str) -> None:
    names = [name for name in VALID[kind] if read_by_nothing(name)]
    told = mistakes({**VALID[kind], **dict.fromkeys(names, GARBAGE)})

    assert len(told) == len(names), told
