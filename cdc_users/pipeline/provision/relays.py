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
        if "source" not in self.by_place:
            self.by_place["source"] = Relay(*_postgres_place(endpoints))
            self.by_place["source"].start()
        inside = f"{HOST}:{self.by_place['source'].port}"
        return replace(endpoints, postgres_from_connect=inside)

    def before_sink(self, endpoints: Endpoints) -> str:
        """The hostaddr for libpq with which the platform reaches its sink through a relay.

        The relay has the server's own port, at another loopback address, because password files
        match both host and port.
        """
        self._beside("sink", *_postgres_place(endpoints))
        return BESIDE

    def before_kafka(self, endpoints: Endpoints) -> str:
        """The address at which a client reaches Kafka through a relay, and learns of no other
        address.
        """
        place = endpoints.kafka_beside
        self._beside("kafka", HOST, int(place.rpartition(":")[2]))
        return place

    def before_registry(self, endpoints: Endpoints) -> tuple[Endpoints, str]:
        """The endpoints with which connectors reach the registry through a relay, and the URL with
        which the platform does.
        """
        url = urlsplit(endpoints.schema_registry_url)
        if "registry" not in self.by_place:
            self.by_place["registry"] = Relay(str(url.hostname), int(url.port or 80))
            self.by_place["registry"].start()
        root = f"{url.scheme}://{HOST}:{self.by_place['registry'].port}"
        return replace(endpoints, registry_from_connect=root), root + url.path

    def _beside(self, place: str, host: str, port: int) -> None:
        if place not in self.by_place:
            self.by_place[place] = Relay(host, port)
            self.by_place[place].start(BESIDE, port)


def _postgres_place(endpoints: Endpoints) -> tuple[str, int]:
    """PostgreSQL's host and port."""
    place = conninfo_to_dict(endpoints.postgres_dsn)
    return str(place["host"]), int(str(place["port"]))
