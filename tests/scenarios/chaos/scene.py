"""The kinds of run that are attacked: a scenario, its options, and what can be met in it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import requests

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from tests.scenarios.locust_process import LocustProcess, await_that, page_answers
from tests.scenarios.test_own_pipeline import own_table, own_topic
from tests.scenarios.test_plain_consumer import consumer

PACED = ("--rate", "50", "--duration", "4s", "--lanes", "4")
ARRIVALS = 200
OWN = ("locust", "steward", "observer")
SMALL = ("--sink-delay", "20ms", "--max-buffered-messages", "200")
SHORT = ("--rate", "50", "--steady", "2s", "--hold", "1s", "--recover", "20s")


@contextlib.contextmanager
def alone(_: Endpoints) -> Iterator[tuple[str, ...]]:
    """Nothing but the run itself."""
    yield ()


@contextlib.contextmanager
def beside_a_consumer(stack: Endpoints) -> Iterator[tuple[str, ...]]:
    """Somebody's topic, table and consumer between them."""
    with own_topic(stack) as topic, own_table(stack) as table, consumer(stack, topic, table, ""):
        yield ("--platform", "none", "--sink-tap", f"postgres:{table}", "--topic", topic)


@dataclass(frozen=True, slots=True)
class Scene:
    """One kind of run.

    `roles` are the processes that can be attacked; rows of a `database` one go into a table of the
    run's own. `arrivals` is what its plan asks for in all, None where that follows from what the
    run finds out.
    """

    name: str
    scenario: str
    options: Sequence[str]
    roles: Sequence[str]
    arrivals: int | None = ARRIVALS
    database: bool = False
    web: bool = False
    around: Callable[[Endpoints], AbstractContextManager[tuple[str, ...]]] = alone
    #: How long it takes undisturbed, at most, on a machine that has other things to do.
    takes_s: float = 60.0


SCENES = (
    Scene("throughput", "throughput", PACED, (*OWN, "platform"), database=True),
    Scene(
        "processes",
        "throughput",
        (*PACED, "--processes", "2"),
        (*OWN, "platform", "worker"),
        database=True,
    ),
    Scene("web page", "throughput", (), (*OWN, "platform"), database=True, web=True),
    Scene(
        "reader and consumer",
        "throughput",
        (*PACED, "--capture", "wal", "--transport", "kafka", "--sink", "postgres"),
        (*OWN, "reader", "platform"),
        database=True,
    ),
    Scene("wal", "wal", (*PACED, "--transport", "kafka"), (*OWN, "reader"), database=True),
    Scene("latency, paced", "latency", (*PACED, "--sinks", "counting"), (*OWN, "platform")),
    Scene(
        "latency, drain",
        "latency",
        ("--records", "300", "--sinks", "postgres"),
        (*OWN, "platform"),
        arrivals=300,
    ),
    Scene(
        "backpressure",
        "backpressure",
        (*SMALL, "--warm-up", "1s", "--fill", "1s", "--hold", "2s"),
        (*OWN, "platform"),
        arrivals=None,
    ),
    Scene(
        "no platform",
        "latency",
        (*PACED, "--sinks", "postgres"),
        OWN,
        around=beside_a_consumer,
    ),
    Scene(
        "faults",
        "faults",
        (*SHORT, "--faults", "end-walsender"),
        (*OWN, "platform"),
        arrivals=None,
        database=True,
        takes_s=120.0,
    ),
    Scene(
        "capacity",
        "capacity",
        ("--from", "100", "--most", "200", "--probe", "1s", "--warm-up", "1s", "--confirm", "2s"),
        (*OWN, "platform"),
        arrivals=None,
        database=True,
        takes_s=180.0,
    ),
)
FORM = {"user_count": "1", "spawn_rate": "1", "rate": "50", "duration": "4s", "lanes": "4"}


class PageProcess(LocustProcess):
    """A run that is started by the page; the page is asked to end when the run has."""

    mode = ("--web-host", "127.0.0.1")

    def __init__(
        self, results: Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        options = ("--web-port", str(port), *options)
        super().__init__("throughput", results, *options, environment=environment)
        threading.Thread(target=self._use, daemon=True).start()

    def _use(self) -> None:
        """Start a run, and leave when it is over: nothing of this is an error where an attack came
        first.
        """
        with contextlib.suppress(requests.RequestException, AssertionError, ProcessLookupError):
            await_that(lambda: page_answers(self.url) or self.ended, "the page does not come up")
            requests.post(f"{self.url}/swarm", data={**FORM, "smoke": "yes"}, timeout=60)
            await_that(self._over, "the run does not end", 300.0)
            self.signal(signal.SIGINT)

    def _over(self) -> bool:
        return self.ended or "verdict: " in self.output or self._stopped()

    def _stopped(self) -> bool:
        """Nobody reads the output after some attacks; the page says it too."""
        try:
            state = requests.get(f"{self.url}/stats/requests", timeout=5).json()["state"]
        except requests.RequestException:
            return False
        return bool(state == "stopped")


def begin(
    scene: Scene, results: Path, options: Sequence[str], environment: Mapping[str, str]
) -> LocustProcess:
    """Start a run of this kind."""
    given = (*scene.options, *options, "--drain-timeout", "10s")
    if scene.web:
        return PageProcess(results, *given, environment=environment)
    return LocustProcess(scene.scenario, results, *given, environment=environment)
