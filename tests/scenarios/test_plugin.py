"""A sink and a transport that stand in no list of this project: installed beside it, and run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import LocustProcess
from tests.toy_distribution import install

#: A sink that appends a line for each batch to a file: how many events it had.
PLATFORM = """
import urllib.request
from pathlib import Path

from infra.platform.process.argument import Argument, missing
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.plugin import SinkPlugin
from infra.platform.transports import naming
from infra.platform.transports.plugin import TransportPlugin
from infra.platform.transports.transport import WalPublisher


class FileSink(CountingSink):
    name = "toy"

    def __init__(self, path):
        super().__init__()
        self._path = Path(path)

    async def write(self, batch):
        with self._path.open("a") as file:
            print(len(batch), file=file)
        return await super().write(batch)


SINK = SinkPlugin(
    "toy",
    make=lambda options: FileSink(options.toy_file),
    arguments=(Argument("--toy-file", "toy: where it counts"),),
    mistakes=lambda options, _: missing(options, "--sink toy", ["--toy-file"]),
)


class PostPublisher(WalPublisher):
    name = "toy-post"
    limit_bytes = 1_000_000
    trouble = ""

    def __init__(self, url):
        self._url, self._held = url, []

    def refusal(self, record):
        return "too large"

    def publish(self, records):
        self._held += [record.data for record in records]

    def flush(self):
        if self._held:
            body = b"[" + b",".join(self._held) + b"]"
            urllib.request.urlopen(urllib.request.Request(self._url, body), timeout=10).close()
            self._held = []

    def close(self):
        self.flush()


TRANSPORT = TransportPlugin(
    "toy-post",
    connect=lambda destination: PostPublisher(destination.endpoint),
    naming=naming.KAFKA,
)
"""
HARNESS = """
from cdc_users.observe.settings import WebhookSettings
from cdc_users.pipeline.declaration import SinkDeclaration, TransportDeclaration
from cdc_users.scenario import OwnOption

FILE = OwnOption("toy_file", "Where the sink toy counts.", takes="a path", argument="toy-file")
SINK = SinkDeclaration("toy", options=(FILE,))
TRANSPORT = TransportDeclaration(
    "toy-post",
    "Toy post",
    tap=lambda prepared: WebhookSettings(),
    create=lambda endpoint, name, partitions: {"endpoint": endpoint, "name": name},
    arguments=lambda prepared, tap: {"endpoint": tap.webhook_url},
)
"""
ENTRIES = {
    "locust_cdc.platform.sinks": {"toy": "toy_platform:SINK"},
    "locust_cdc.platform.transports": {"toy-post": "toy_platform:TRANSPORT"},
    "locust_cdc.sinks": {"toy": "toy_harness:SINK"},
    "locust_cdc.transports": {"toy-post": "toy_harness:TRANSPORT"},
}


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a run with the toys installed."""
    site = tmp_path / "site"
    site.mkdir()
    install(site, {"toy_platform": PLATFORM, "toy_harness": HARNESS}, ENTRIES)
    path = os.pathsep.join((str(CHECKOUT), str(site)))
    return {"PYTHONPATH": path}


def test_a_sink_from_outside_the_tree_is_measured_as_any_other(
    stack: Endpoints, results: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    """It has an option of its own, which the platform is told by its argument."""
    place = tmp_path / "counted"
    own = ("--sink", "toy", "--toy-file", str(place))
    run = LocustProcess("throughput", results, "--rows", "200", *own, environment=installed)

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert step["pipeline"]["sink"] == "toy"
    assert step["pipeline"]["own"] == [["toy_file", str(place)]]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 200
    counted = place.read_text().split()
    assert sum(map(int, counted)) >= 200  # fences too


def test_its_option_does_nothing_without_it(results: Path, installed: dict[str, str]) -> None:
    run = LocustProcess("throughput", results, "--toy-file", "x", environment=installed)

    assert run.wait() == 2, run.output
    assert "--toy-file does nothing without the sink toy; name that sink" in run.output


def test_so_is_a_transport(stack: Endpoints, results: Path, installed: dict[str, str]) -> None:
    run = LocustProcess(
        "wal", results, "--rows", "200", "--transport", "toy-post", environment=installed
    )

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert step["pipeline"]["transport"] == "toy-post"
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 200
    assert step["ledger"]["fences"] == "complete"


def test_without_it_the_name_is_a_mistake(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("throughput", results, "--rows", "20", "--sink", "toy")

    assert run.wait() == 2
    assert (
        "--sink: 'toy' is not one of counting, slow, iceberg, iceberg-connect, postgres, webhook"
        in run.output
    )


def test_a_plugin_that_cannot_be_used_ends_the_run_before_any_server_is_asked(
    results: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, {}, {"locust_cdc.sinks": {"toy": "nowhere_to_be_found:SINK"}})
    path = os.pathsep.join((str(CHECKOUT), str(site)))
    run = LocustProcess("throughput", results, "--rows", "20", environment={"PYTHONPATH": path})

    assert run.wait() == 2, run.output
    assert "toy-plugins offers 'toy' in locust_cdc.sinks" in run.output
    assert "Traceback" not in run.output
    assert not results.exists()
