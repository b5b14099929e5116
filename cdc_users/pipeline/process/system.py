"""The processes of the system under test that a run starts: the reader, then the platform's
instances; also which routes each serves, and which are away on purpose.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cdc_users.error import PlatformSilentError, TargetError
from cdc_users.observe.message import TapPlace
from cdc_users.pipeline.process.child_process import (
    Away,
    Child,
    Launched,
    NotReadyError,
    launch,
    stop,
    stop_all,
)
from cdc_users.pipeline.process.commands import Wiring
from cdc_users.pipeline.telemetry import CONTRACT, PlatformRoutes, begin, routes_of
from infra.client.environment import TELEMETRY_TOKEN, as_given

PLATFORM_GRACE_S = 10.0


@dataclass(slots=True)
class SystemProcesses:
    """One pipeline's platform, and the direct reader or capture if the run has its own."""

    wiring: Wiring
    logs: Path
    platforms: list[Child] = field(default_factory=list)
    #: A reader of the run's own that writes to the topics in place of Kafka Connect.
    captures: list[Child] = field(default_factory=list)
    #: The routes that each platform instance serves.
    routes: list[PlatformRoutes] = field(default_factory=list)
    #: The token for `POST /begin` to the platform's instances.
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    #: Our processes that are away on purpose, and whether the platform has forgotten events.
    _away: Away = field(default_factory=Away)

    def start(self, sink: TapPlace | None, *, held: bool) -> None:
        """Start the reader, then all platform instances at once, unless the user's own runs.

        `sink` is the observer's tap where events come out, if there is one; `held` instances wait
        for `begin`. Raises TargetError if a process does not become ready, or serves too few
        routes.
        """
        if self.wiring.pipeline.platform == "none":
            return
        schema, ours = self.wiring.names.schema, self.wiring.environment
        if capture := self.wiring.capture_command():
            # Before the platform, so that the platform finds schemas; after the observer, which
            # must miss no event.
            log = self.logs / f"{schema}-capture.log"
            reader = launch("capture", capture, log, ours)
            self.captures = [come_up(reader, self.wiring.capture.ready_s)]
        command = self.wiring.platform_command(held=held, tap=sink or TapPlace())
        if self.wiring.pipeline.platform:
            ours = as_given(os.environ) | self.wiring.anchor.environment()
        environment = ours | {TELEMETRY_TOKEN: self._token}
        launched = [
            launch(
                f"platform-{number}",
                command,
                self.logs / f"{schema}-platform-{number}.log",
                environment,
            )
            for number in range(1, self.wiring.pipeline.instances + 1)
        ]
        self._await_platforms(launched)
        self._check_platforms(held=held, witnessed=sink is not None)

    def _await_platforms(self, launched: Sequence[Launched]) -> None:
        try:
            self.platforms = [come_up(child, self.wiring.ready_s) for child in launched]
        except BaseException as error:
            # A run that was asked to stop has no time to wait for the other instances.
            grace_s = PLATFORM_GRACE_S if isinstance(error, PlatformSilentError) else 1.0
            for child in launched:
                stop(child.process, grace_s)
            raise

    def _check_platforms(self, *, held: bool, witnessed: bool) -> None:
        """Find out which routes the platform serves; raises TargetError if this run needs more."""
        self.routes = [routes_of(child) for child in self.platforms]
        if not (self.is_tap or witnessed):
            raise TargetError(
                "nothing shows what comes out of the platform: it serves no /progress and /ledger,"
                f" and no --sink-tap is named; name one, or serve both routes ({CONTRACT})"
            )
        if held and not all(route.url for route in self.routes):
            raise TargetError(
                "this step writes before the platform reads, and the platform has no telemetry to"
                f" be let go by; serve POST /begin ({CONTRACT}), or use a scenario without a drain"
            )

    def begin(self) -> None:
        """Let held instances start to read."""
        begin([route.url for route in self.routes], self._token)

    def act(self, action: str, name: str) -> None:
        """Kill, terminate, restart, pause or resume the direct reader or the platform's first
        instance, as a fault does; raises TargetError if it does not start again.
        """
        children = self.captures if name == "reader" and self.captures else self.platforms
        child = children[0]
        children[0] = self._away.act(action, child)
        if children is self.platforms and children[0] is not child:
            self.routes[0] = routes_of(children[0])

    @property
    def children(self) -> Sequence[Child]:
        """All of them, in the order of their starts."""
        return (*self.captures, *self.platforms)

    @property
    def forgotten(self) -> bool:
        """Whether an instance was restarted, and so has forgotten earlier events."""
        return self._away.forgotten

    @property
    def silent(self) -> bool:
        """Whether the platform cannot report all deliveries, because an instance is away or was
        restarted.
        """
        return self._away.forgotten or any(map(self._away.has, self.platforms))

    @property
    def is_tap(self) -> bool:
        """Whether the platform is a tap of its own: all instances must be, because a part of the
        events proves nothing.
        """
        return bool(self.routes) and all(route.audits for route in self.routes)

    @property
    def told(self) -> Sequence[str]:
        """The URLs of instances that serve a snapshot now."""
        return [route.url for route in self._present if route.snapshot]

    @property
    def audited(self) -> Sequence[str]:
        """The URLs of instances that serve their progress and ledger now."""
        return [route.url for route in self._present if route.audits]

    @property
    def sampled(self) -> Sequence[str]:
        """The URLs of instances that serve their samples now."""
        return [route.url for route in self._present if route.samples]

    @property
    def _present(self) -> Sequence[PlatformRoutes]:
        """The routes of the instances that are not away."""
        pairs = zip(self.platforms, self.routes, strict=False)
        return [route for child, route in pairs if not self._away.has(child)]

    def dead(self) -> str | None:
        """A line on a process that has died; None if none has. Processes that are away on purpose
        do not count.
        """
        found = (child.dead() for child in self.children if not self._away.has(child))
        return next((message for message in found if message is not None), None)

    def stop(self, grace_s: float) -> list[tuple[Child, int]]:
        """Stop the running processes, and return their exit codes; paused ones are resumed
        first.
        """
        self._away.let_go_on(self.children)
        return stop_all([each for each in self.children if not self._away.has(each)], grace_s)


def come_up(launched: Launched, ready_s: float) -> Child:
    """Wait until a process of the system under test is ready; raises PlatformSilentError."""
    try:
        return launched.await_ready(ready_s)
    except NotReadyError as error:
        raise PlatformSilentError(f"the system under test did not come up: {error}") from error
