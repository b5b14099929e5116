"""The harness's side of the observer: starts it and sends it requests.

Usable under gevent; it imports no tap.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from msgspec.structs import replace
from numpy.typing import NDArray

from cdc_users.error import ObserverSilentError, TargetError
from cdc_users.measure.ledger.arrival import Arrivals, EncodedArrivals
from cdc_users.measure.ledger.place import EventPlace
from cdc_users.measure.ledger.sequence import pack
from cdc_users.measure.wire import WireError, WireMessage, decode, encode
from cdc_users.observe.final_state import DeletedKeys
from cdc_users.observe.message import (
    ExpectedSide,
    Final,
    FinalRequest,
    FinalSide,
    GaugeSamples,
    ObserverProgress,
    ObserverReady,
    ObserverSnapshot,
    PlacesFound,
    PlacesRequest,
    TapPlace,
    WatchedProcesses,
)
from cdc_users.observe.settings import ObserverSettings
from cdc_users.pipeline.process.child_process import Child, NotReadyError, launch
from infra.client import http
from infra.client.environment import for_python, module_command

TIMEOUT_S = 10.0
#: The limit for slow requests: a ledger of millions of keys, a comparison of as many rows.
LEDGER_S = FINAL_S = 300.0


@dataclass(frozen=True, slots=True)
class Observer:
    """A running observer."""

    child: Child
    url: str
    #: The address of each tap, and whether it sees states.
    taps: Mapping[str, TapPlace] = field(default_factory=dict)
    #: The token that requests must carry.
    token: str = field(default="", repr=False)

    def snapshot(self) -> ObserverSnapshot:
        """All taps' figures and the gauges now. Raises TargetError, as do all requests."""
        return self._get("/snapshot", ObserverSnapshot)

    def progress(self) -> ObserverProgress:
        """What a drain waits for: by tap, the events delivered by step, the fences, and their
        partitions.
        """
        return self._get("/progress", ObserverProgress)

    def ledger(self, tap: str) -> Arrivals:
        """The arrivals at a tap."""
        self.progress()  # a cheap request first, so that a stopped observer fails soon
        return Arrivals.decode(self._get("/ledger", EncodedArrivals, LEDGER_S, tap=tap))

    def samples(self, after: int = 0) -> GaugeSamples:
        """The gauges' samples from this number on, and the number for the next call."""
        return self._get("/samples", GaugeSamples, after=str(after))

    def watch(self, pids: Mapping[str, int]) -> None:
        """Have these processes (pids by name) measured under their own names."""
        body = encode(WatchedProcesses(pids=dict(pids)))
        _read(self._ask("POST", "/processes", data=body), WatchedProcesses)

    def final(
        self, source: FinalSide, sink: FinalSide, *, gone: DeletedKeys | None = None
    ) -> Final:
        """Compare the contents of source and sink; `gone` are the keys that the writers have
        deleted.
        """
        self.progress()
        deleted = {}
        if gone is not None and len(gone.key):
            deleted = {"gone": pack(gone.key), "gone_versions": pack(gone.version)}
        body = encode(FinalRequest(source=source, sink=sink, **deleted))
        return _read(self._ask("POST", "/final", FINAL_S, data=body), Final)

    def places(self, tap: str, events: Sequence[tuple[int, int]]) -> list[EventPlace]:
        """Where a tap saw these events (writer and sequence); unknown ones are left out."""
        body = encode(PlacesRequest(tap=tap, events=list(events)))
        return _read(self._ask("POST", "/places", data=body), PlacesFound).places

    def answer_as(self, how: str) -> None:
        """Have the sink's webhook tap answer in this way (observe/taps/answer.py)."""
        answer = self._ask("POST", "/answer", params={"tap": "sink", "how": how})
        if answer.status_code != 204:
            raise TargetError(f"the observer refuses the request: {answer.text}")

    def dead(self) -> str | None:
        """None while it runs; afterwards one line that says how it ended."""
        return self.child.dead()

    def stop(self) -> int:
        """Stop it; returns its exit code."""
        return self.child.stop()

    def _get(
        self, path: str, kind: type[WireMessage], timeout_s: float = TIMEOUT_S, **query: str
    ) -> WireMessage:
        return _read(self._ask("GET", path, timeout_s, params=query), kind)

    def _ask(
        self, method: str, path: str, timeout_s: float = TIMEOUT_S, **given: Any
    ) -> requests.Response:
        """The answer, also a refusal; raises ObserverSilentError if there is none."""
        try:
            headers = {"Authorization": f"Bearer {self.token}"}
            return http.request(
                method, self.url + path, timeout=timeout_s, headers=headers, **given
            )
        except requests.RequestException as error:
            raise ObserverSilentError(
                f"the observer does not answer at {self.url}: {type(error).__name__}"
            ) from error


def _read(answer: requests.Response, kind: type[WireMessage]) -> WireMessage:
    if answer.status_code != 200:
        raise TargetError(f"the observer refuses the request: {answer.text}")
    try:
        return decode(answer.content, kind, "the observer")
    except WireError as error:
        raise TargetError(str(error)) from error


def start_observer(
    settings: ObserverSettings, log: Path, environment: Mapping[str, str] | None = None
) -> Observer:
    """Start an observer with these settings; raises ObserverSilentError, with the end of its log,
    if it does not become ready.
    """
    command = module_command("cdc_users.observe")
    own = {**for_python(os.environ), **(environment or {})}
    token = secrets.token_urlsafe(16)
    line = encode(replace(settings, token=token)).decode("utf-8")
    try:
        child = launch("observer", command, log, own, standard_input=line).await_ready()
    except NotReadyError as error:
        raise ObserverSilentError(str(error)) from error
    try:
        ready = decode(child.ready, ObserverReady, "the observer")
    except WireError as error:
        child.stop()
        raise TargetError(str(error)) from error
    return Observer(child, ready.url, ready.taps, token)


def expected(
    keys: NDArray[np.int64],
    versions: NDArray[np.int64],
    doubtful: Sequence[int] | NDArray[np.int64] = (),
) -> ExpectedSide:
    """A side for `Observer.final`: the keys that must exist, with their versions; `doubtful` keys
    may have any state.
    """
    numbers = np.array(doubtful, dtype=np.int64)
    return ExpectedSide(keys=pack(keys), versions=pack(versions), doubtful=pack(numbers))
