"""Kafka clients' settings: the user's file of properties, and what goes before it."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.client.environment import ROOT
from infra.client.kafka import (
    JAVAS,
    RESERVED,
    KafkaPropertiesError,
    KafkaTroubles,
    kafka_settings,
    parse_properties,
    property_mistakes,
    user_properties,
)

NAMES = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,3}", fullmatch=True).filter(
    lambda name: name not in RESERVED and name not in JAVAS
)
VALUES = st.text(string.ascii_letters + string.digits + "=:/;#-_ {}", max_size=30).map(str.strip)


def named(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "client.properties"
    path.write_text(text, encoding="utf-8")
    return {"CDC_KAFKA_PROPERTIES": str(path)}


@settings(max_examples=30)
@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_is_written_is_what_is_read(properties: dict[str, str]) -> None:
    text = "# a remark\n\n" + "".join(f" {k} = {v} \n" for k, v in properties.items())

    assert parse_properties(text, {}) == (properties, [])


def test_a_value_may_be_a_variable() -> None:
    found, mistakes = parse_properties("sasl.password=a${env:SECRET}b", {"SECRET": "hush"})

    assert (found, mistakes) == ({"sasl.password": "ahushb"}, [])


def test_a_variable_that_is_not_there_is_asked_for() -> None:
    _, mistakes = parse_properties("sasl.password=${env:SECRET}", {})

    assert mistakes == ["sasl.password needs the variable SECRET; set it"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sasl.jaas.config=x", "write sasl.username and sasl.password"),
        ("group.id=mine", "decided by the harness"),
        ("bootstrap.servers=h:1", "decided by the harness"),
        ("sasl.username", "line 1 is not NAME=VALUE"),
        ("=x", "line 1 is not NAME=VALUE"),
        ("a=1\na=2", "a stands there twice"),
    ],
)
def test_a_mistake_has_its_remedy_and_no_value(line: str, told: str) -> None:
    _, (mistake,) = parse_properties(line, {})

    assert told in mistake


def test_no_file_is_no_property() -> None:
    assert user_properties({}) == {}
    assert property_mistakes({}) == []


def test_what_a_client_needs_goes_before_the_file(tmp_path: Path) -> None:
    environ = named(tmp_path, "linger.ms=50\nclient.id=mine\n")

    found = kafka_settings("h:9092", {"linger.ms": 0}, environ)

    assert found == {"bootstrap.servers": "h:9092", "linger.ms": 0, "client.id": "mine"}


def test_a_certificate_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    environ = named(tmp_path, "ssl.ca.location=ca.pem\nssl.key.location=/a/key.pem\n")

    found = user_properties(environ)

    assert found["ssl.ca.location"] == str(tmp_path / "ca.pem")
    assert found["ssl.key.location"] == "/a/key.pem"


def test_every_mistake_is_told_with_the_files_name(tmp_path: Path) -> None:
    environ = named(tmp_path, "group.id=a\nsasl.jaas.config=password=hush\n")

    mistakes = property_mistakes(environ)

    assert len(mistakes) == 2
    assert all(mistake.startswith(str(tmp_path)) for mistake in mistakes)
    assert "hush" not in "".join(mistakes)
    with pytest.raises(KafkaPropertiesError):
        kafka_settings("h:1", None, environ)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sasl.usrename=a", "sasl.usrename"),
        ("security.protocol=ssl\nssl.ca.location=nowhere.pem", "ssl.ca.location failed"),
        ("security.protocol=tls", "security.protocol"),
    ],
)
def test_what_librdkafka_refuses_is_known_before_a_server_is_asked(
    tmp_path: Path, text: str, told: str
) -> None:
    (mistake,) = property_mistakes(named(tmp_path, text))

    assert told in mistake


def test_a_file_that_cannot_be_read_is_named() -> None:
    (mistake,) = property_mistakes({"CDC_KAFKA_PROPERTIES": "/nowhere/client.properties"})

    assert "/nowhere/client.properties cannot be read" in mistake


TIMED_OUT = KafkaError(KafkaError._TRANSPORT, "broker transport failure")


@pytest.mark.parametrize(
    ("code", "text", "remedy"),
    [
        (KafkaError._AUTHENTICATION, "Authentication failed", "sasl.username"),
        (KafkaError._SSL, "certificate verify failed", "ssl.ca.location"),
        (
            KafkaError._TRANSPORT,
            "might be caused by incorrect security.protocol configuration",
            "check the address, and security.protocol",
        ),
    ],
)
def test_a_time_that_ran_out_has_the_reason_that_the_client_gave(
    code: int, text: str, remedy: str
) -> None:
    troubles = KafkaTroubles()
    troubles(KafkaError(code, text))
    troubles(KafkaError(KafkaError._ALL_BROKERS_DOWN, "all brokers are down"))

    told = troubles.why(TIMED_OUT, {"CDC_KAFKA_PROPERTIES": "/a/client.properties"})

    assert told.startswith(text)
    assert remedy in told
    assert "/a/client.properties" in told


def test_an_error_that_has_nothing_to_do_with_access_stays_what_it_is() -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not yours")

    assert KafkaTroubles().why(error, {}) == "not yours"


def test_silence_without_a_reason_may_be_a_listener_that_wants_tls() -> None:
    assert "security.protocol" in KafkaTroubles().why(TIMED_OUT, {})


def _bare_clients(path: Path) -> list[int]:
    """Lines where a Kafka client is made of anything but `kafka_settings` or a name."""
    text = path.read_text(encoding="utf-8")
    if "bootstrap.servers" not in text:
        return []
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Producer", "Consumer", "AdminClient")
        and isinstance(node.args[0], ast.Dict)
        and any(isinstance(key, ast.Constant) for key in node.args[0].keys)
        and "bootstrap.servers" in ast.dump(node.args[0])
    ]


def test_no_client_of_the_product_is_set_up_without_the_users_properties() -> None:
    files = [file for room in ("cdc_users", "infra") for file in (ROOT / room).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): lines for file in files if (lines := _bare_clients(file))}

    # The door's own: it is let in as the broker itself, to make the first user.
    assert set(found) <= {"infra/stack/servers/secured/secured.py"}
