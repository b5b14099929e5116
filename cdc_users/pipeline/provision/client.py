"""The run's side of the steward: requests to the process that creates and removes what the run
needs.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from cdc_users.error import HarnessError, TargetError
from infra.client.environment import for_python, module_command
from infra.stack.endpoints import Endpoints


class StewardClient:
    """Starts a steward; it removes everything when it is closed, or when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            module_command("cdc_users.pipeline.provision.steward"),
            env=for_python(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C ends the run, and the run ends the steward
        )

    def open(self, run: str, profile: str, allowed: Sequence[str]) -> tuple[Endpoints, bool]:
        """The stack's endpoints, and whether this run brought it up;

        `allowed` targets may be off loopback.
        """
        answer = self._ask({"do": "open", "run": run, "profile": profile, "allowed": list(allowed)})
        return Endpoints.from_json(answer["endpoints"]), bool(answer["owns_stack"])

    def prepare(self, **pipeline: Any) -> Mapping[str, Any]:
        """Create one pipeline's objects (see steward.Steward.prepare); returns their names."""
        return self._ask({"do": "prepare", **pipeline})

    def committed(self) -> None:
        """Wait until Connect has stored how far the run's connector has come, once an event has
        gone through it.
        """
        self._ask({"do": "committed"})

    def health(self) -> Mapping[str, Any]:
        """What has happened to the servers and the run's objects since `prepare`: what `restarted`,
        what is `gone` for good, how somebody else `disturbed` it, and the topics'
        `deleted_records`.
        """
        return self._ask({"do": "health"})

    def release(self) -> list[str]:
        """Remove what was prepared; returns what could not be removed."""
        problems: list[str] = self._ask({"do": "release"})["problems"]
        return problems

    def close(self) -> list[str]:
        """Remove everything and end the steward; returns what could not be removed."""
        try:
            problems: list[str] = self._ask({"do": "close"})["problems"]
        except HarnessError as error:
            problems = [str(error)]
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        return problems

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as error:
            raise TargetError(
                f"the steward process died ({error}); its message is above"
            ) from error
        if not line:
            raise TargetError(
                f"the steward process ended with {self._process.wait()}; its message is above"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            failure = TargetError(answer["error"])
            failure.exit_code = int(answer["exit_code"])
            raise failure
        ok: dict[str, Any] = answer["ok"]
        return ok
