"""The relays of a run: which client reaches which server through a relay. All of them end with this
process.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from infra.faults.relay import HOST, Relay
from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import BESIDE


@dataclass(slots=True)
class RunRelays:
    """One relay for each place of a fault (infra.faults.fault.RELAYED), started when it is needed;
    each method raises OSError if the relay cannot listen.
    """

    by_place: dict[str, Relay] = field(default_factory=dict)

    def before_source(self, endpoints: Endpoints) -> Endpoints:
        """The endpoints with which Connect reaches the source's server through a relay."""
        port = self._started("source", *_postgres_place(endpoints))
        return replace(endpoints, postgres_from_connect=f"{HOST}:{port}")

    def before_sink(self, endpoints: Endpoints) -> str:
        """The hostaddr for libpq with which the platform reaches its sink through a relay.

        The relay has the server's own port, at another loopback address, because password files
        match both host and port.
        """
        host, port = _postgres_place(endpoints)
        self._started("sink", host, port, at=(BESIDE, port))
        return BESIDE

    def before_kafka(self, endpoints: Endpoints) -> str:
        """The address at which a client reaches Kafka through a relay, and learns of no other
        address.
        """
        place = endpoints.kafka_beside
        port = int(place.rpartition(":")[2])
        self._started("kafka", HOST, port, at=(BESIDE, port))
        return place

    def before_registry(self, endpoints: Endpoints) -> tuple[Endpoints, str]:
        """The endpoints with which connectors reach the registry through a relay, and the URL with
        which the platform does.
        """
        url = urlsplit(endpoints.schema_registry_url)
        port = self._started("registry", str(url.hostname), url.port or 80)
        root = f"{url.scheme}://{HOST}:{port}"
        return replace(endpoints, registry_from_connect=root), root + url.path

    def _started(self, place: str, host: str, port: int, at: tuple[str, int] = (HOST, 0)) -> int:
        """The port of a place's relay to a server; it listens at `at`, by default on any port."""
        if place not in self.by_place:
            self.by_place[place] = Relay(host, port)
            self.by_place[place].start(*at)
        return self.by_place[place].port


def _postgres_place(endpoints: Endpoints) -> tuple[str, int]:
    """PostgreSQL's host and port."""
    place = conninfo_to_dict(endpoints.postgres_dsn)
    return str(place["host"]), int(str(place["port"]))
