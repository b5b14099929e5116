"""The observer's configuration: all mistakes at once, and nothing of it repeated that may be
secret.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.wire import encode
from cdc_users.observe.config import ObserverSettingsError, make_taps, mistakes, read
from cdc_users.observe.settings import ObserverSettings, WebhookSettings


def written(**changed: Any) -> dict[str, Any]:
    """A good configuration as it travels, with some of its fields changed."""
    settings = ObserverSettings(
        run="abcd1234", anchor=new_anchor(), taps=(WebhookSettings(name="sink"),)
    )
    return {**json.loads(encode(settings)), **changed}


def test_what_the_harness_writes_is_read_again() -> None:
    settings = read(json.dumps(written()))

    assert settings.run == "abcd1234"
    assert list(make_taps(settings, new_anchor())) == ["sink"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "one line of JSON is needed"),
        ('{"taps": [{"dsn": "password=hush"}', "one line of JSON is needed"),
        ("[]", "one object of JSON is needed"),
        ("7", "one object of JSON is needed"),
    ],
)
def test_what_is_no_object_is_refused_without_a_word_of_it(line: str, said: str) -> None:
    with pytest.raises(ObserverSettingsError, match=said) as caught:
        read(line)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"taps": [{"kind": "webhook"}]}, ["a tap has no name: {'kind': 'webhook'}"]),
        (
            {"taps": [{"name": "sink", "kind": "webhook"}] * 2},
            ["there are 2 taps named 'sink'; name them apart"],
        ),
        (
            {"taps": [{"name": "sink", "kind": "telepathy"}]},
            ["tap 'sink' is of kind 'telepathy', which is not one of "],
        ),
        ({"gauges": {"slot": {"dsn": "x"}}}, ["gauge 'slot' needs 'slot'"]),
        (
            {"gauges": {"group": {}, "slot": None}},
            ["gauge 'group' needs 'bootstrap'", "gauge 'group' needs 'group'"],
        ),
    ],
)
def test_each_mistake_is_named(changed: dict[str, Any], said: list[str]) -> None:
    found = mistakes(written(**changed))

    assert len(found) == len(said)
    assert all(told.startswith(start) for told, start in zip(found, said, strict=True))


def test_all_mistakes_are_told_together() -> None:
    raw = {"taps": [{"name": "topic", "kind": "topic"}, {"kind": "webhook"}], "gauges": {}}

    with pytest.raises(ObserverSettingsError) as caught:
        read(json.dumps(raw))

    lines = str(caught.value).splitlines()
    assert "'run' is missing" in lines
    assert any(line.startswith("tap 'topic' needs ") for line in lines)
    assert any(line.startswith("a tap has no name") for line in lines)


def test_a_value_of_a_wrong_type_is_named_by_its_place() -> None:
    with pytest.raises(ObserverSettingsError, match="run"):
        read(json.dumps(written(run=7)))


def test_a_taps_own_settings_are_read_as_its_kind_has_them() -> None:
    settings = read(
        json.dumps(written(taps=[{"name": "sink", "kind": "webhook", "check_every": "often"}]))
    )

    with pytest.raises(ObserverSettingsError, match=r"a tap of kind 'webhook': .*check_every"):
        make_taps(settings, new_anchor())
