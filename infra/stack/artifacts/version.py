"""The versions of the servers, in one place; artifacts.json pins the matching files."""

from __future__ import annotations

VERSIONS = {
    "kafka": "4.3.1",
    "connect": "4.3.1",
    "debezium": "3.6.3.Final",
    "schema-registry": "apicurio 3.3.3",
}
