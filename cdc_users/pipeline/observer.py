"""The harness's side of the observer: starts it and asks it.

Usable under gevent; it brings in no tap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from cdc_users.error import TargetError
from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.sequence import pack
from cdc_users.pipeline.child_process import Child, start
from infra.client import http
from infra.client.environment import for_python, module_command

TIMEOUT_S = 10.0
#: What takes long by its nature: a ledger of millions of keys, a comparison of as many rows.
LEDGER_S = FINAL_S = 300.0


@dataclass(frozen=True, slots=True)
class Observer:
    """A running observer."""

    child: Child
    url: str

    @property
    def taps(self) -> Mapping[str, Mapping[str, Any]]:
        """What each tap says of how it is reached, such as `webhook_url`."""
        found: Mapping[str, Mapping[str, Any]] = self.child.ready["taps"]
        return found

    def snapshot(self) -> dict[str, Any]:
        """All taps' figures and the gauges now;

        `taps` have the platform's shape. Raises TargetError, as all do.
        """
        return self._get("/snapshot")

    def progress(self) -> dict[str, Any]:
        """What a drain waits for: by tap, events delivered by step, fences, and the partitions
        they came from.
        """
        return self._get("/progress")

    def ledger(self, tap: str) -> Arrivals:
        """What has arrived at a tap."""
        return Arrivals.from_json(self._get("/ledger", LEDGER_S, tap=tap))

    def samples(self, after: int = 0) -> dict[str, Any]:
        """The gauges' samples from this number on, and as `next` the number to ask from next
        time.
        """
        return self._get("/samples", after=str(after))

    def final(
        self,
        source: Mapping[str, Any],
        sink: Mapping[str, Any],
        *,
        gone: NDArray[np.int64] | None = None,
    ) -> dict[str, Any]:
        """Compare what source and sink hold; comparison.answer says what a side may be.

        `gone` are the keys that the writers have deleted.
        """
        request: dict[str, Any] = {"source": source, "sink": sink}
        if gone is not None and len(gone):
            request["gone"] = pack(gone)
        try:
            answer = http.post(f"{self.url}/final", json=request, timeout=FINAL_S)
        except requests.RequestException as error:
            raise TargetError(
                f"the observer does not answer at {self.url}: {type(error).__name__}"
            ) from error
        return _body(answer)

    def dead(self) -> str | None:
        """Nothing while it runs; afterwards one line that says how it ended."""
        return self.child.dead()

    def stop(self) -> int:
        """End it; returns its exit code."""
        return self.child.stop()

    def _get(self, path: str, timeout_s: float = TIMEOUT_S, **query: str) -> dict[str, Any]:
        try:
            answer = http.get(self.url + path, params=query, timeout=timeout_s)
        except requests.RequestException as error:
            raise TargetError(
                f"the observer does not answer at {self.url}: {type(error).__name__}"
            ) from error
        return _body(answer)


def _body(answer: requests.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        raise TargetError(f"the observer refuses: {body.get('error', answer.status_code)}")
    return body


def start_observer(
    config: Mapping[str, Any], log: Path, environment: Mapping[str, str] | None = None
) -> Observer:
    """Start an observer with this configuration; raises TargetError with the end of its log if it
    does not begin.
    """
    command = module_command("cdc_users.observe")
    own = {**for_python(os.environ), **(environment or {})}
    child = start("observer", command, log, own, standard_input=json.dumps(config))
    return Observer(child, str(child.ready["url"]))


def expected(
    keys: NDArray[np.int64],
    versions: NDArray[np.int64],
    doubtful: Sequence[int] | NDArray[np.int64] = (),
) -> dict[str, Any]:
    """A side for `Observer.final`: the keys that must be there, at which versions;

    `doubtful` ones may be anything.
    """
    numbers = np.array(doubtful, dtype=np.int64)
    return {
        "kind": "expected",
        "keys": pack(keys),
        "versions": pack(versions),
        "doubtful": pack(numbers),
    }
