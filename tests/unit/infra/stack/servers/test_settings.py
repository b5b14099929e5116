"""What the servers are told, where a default would surprise."""

from __future__ import annotations

from infra.stack.servers.settings import avro_converters

REFRESH = "apicurio.registry.fault-tolerant-refresh"


def test_converters_go_on_with_known_schemas_while_their_registry_is_away() -> None:
    converters = avro_converters("http://127.0.0.1:8080")

    assert {side: converters[f"{side}.converter.{REFRESH}"] for side in ("key", "value")} == {
        "key": "true",
        "value": "true",
    }
