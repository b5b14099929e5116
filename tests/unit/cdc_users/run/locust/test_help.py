"""`locust --help` shows the options of the scenario that `-f` names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdc_users.options.groups import grouped
from cdc_users.options.ignored import idle_in
from infra.stack.supervise.state import CHECKOUT
from locustfiles.latency import LatencyShape

pytestmark = pytest.mark.gevent


def help_of(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "locust", *arguments, "--help"],
        cwd=CHECKOUT,
        # Lines are folded at hyphens too.
        env={**os.environ, "COLUMNS": "10000"},
        capture_output=True,
        text=True,
        check=True,
    )
    return " ".join(done.stdout.split())


def test_help_shows_what_the_scenario_reads_by_group_with_its_own_defaults() -> None:
    told = help_of("-f", "locustfiles/latency.py")
    idle = idle_in(LatencyShape)

    for title, options in grouped().items():
        read = [option for option in options if option.name not in idle]
        assert (f"CDC: {title}:" in told) == bool(read)
        for option in read:
            default = LatencyShape.scenario.defaults.get(option.name, option.default) or "none"
            assert f"{option.help} Takes {option.takes}; default: {default}." in told
    assert "--overload" not in told
    assert "locust -f locustfiles/latency.py --headless --smoke yes" in told
    assert "-u 100" not in told


def test_help_without_a_locustfile_says_where_the_options_are() -> None:
    assert "locust -f locustfiles/throughput.py --help" in help_of()


def test_help_of_a_locustfile_without_a_scenario_is_locusts_own(tmp_path: Path) -> None:
    file = tmp_path / "plain.py"
    file.write_text("from locust import User\n\n\nclass Plain(User):\n    pass\n")

    assert "CDC" not in help_of("-f", str(file))
