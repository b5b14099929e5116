"""Creates what a run needs outside its own process, and removes it whatever happens to the run.

`python -m cdc_users.pipeline.provision.steward` is a process of its own, without gevent: one
request a line on its standard input, one answer a line on its standard output (message.py). When
the input ends, because the run has finished or because it was killed, the steward removes all that
it created and exits. If the steward is killed as well, the next run finds its journal and removes
what is left. Nothing that it asks of a server is waited for without a limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from confluent_kafka import KafkaException

from cdc_users.error import HarnessError, TargetError
from cdc_users.measure.offset import ONE_CLOCK
from cdc_users.measure.wire import WireError, decode, encode
from cdc_users.pipeline.captures.debezium import STREAMING_DEADLINE_S
from cdc_users.pipeline.provision import kafka_topics
from cdc_users.pipeline.provision.allow_list import stack_mistakes
from cdc_users.pipeline.provision.cleanup.affliction import undo_faults
from cdc_users.pipeline.provision.cleanup.journal import Journal, abandoned
from cdc_users.pipeline.provision.cleanup.removal import remove_all, remove_objects
from cdc_users.pipeline.provision.cleanup.run_faults import RunFaults
from cdc_users.pipeline.provision.cloud_streams import CloudStreams
from cdc_users.pipeline.provision.condition import Condition, RunObjects, broken, changes, look
from cdc_users.pipeline.provision.creation import Creation, fetch_files
from cdc_users.pipeline.provision.limit import within
from cdc_users.pipeline.provision.message import (
    AskHealth,
    AwaitCommitted,
    AwaitReady,
    CloseSteward,
    HealFault,
    Health,
    InjectFault,
    Names,
    OpenStack,
    PreparePipeline,
    Problems,
    ReleasePipeline,
    StackFound,
    StewardAnswer,
    StewardRequest,
)
from cdc_users.pipeline.provision.relays import RunRelays
from cdc_users.pipeline.provision.shared import StackUse
from infra.client.environment import module_command
from infra.client.output import finish_output, keep_output_from_failing
from infra.faults.small_disk import mount_small
from infra.postgres.rights import RightsError
from infra.postgres.slot import SlotError
from infra.postgres.table import TableError
from infra.stack.debezium.connector import wait_until_committed
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.locate import locate
from infra.stack.supervise.identity import both, tied_to_parent
from infra.stack.supervise.state import CHECKOUT, state_of

#: The time for what dead runs have left; the next run waits no longer.
ABANDONED_S = 20.0
#: The longest answers of the servers.
PREPARE_S = 120.0
HEALTH_S = 10.0
INJECT_S, HEAL_S = 110.0, 200.0
#: A union is no type for mypy, but one for msgspec.
REQUEST: Any = StewardRequest
REFUSALS = (HarnessError, StackError, SlotError, TableError, KafkaException)


def _obey_sigterm() -> None:
    """Restores SIGTERM in a child before its program starts: this process ignores the signal, and
    the child would inherit that.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Steward:
    """Holds one run's journal and endpoints; one method for each request."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._journals = state_of(checkout).runs
        self._journal: Journal | None = None
        self._found: StackFound | None = None
        self._run = ""
        self._allowed: tuple[str, ...] = ()
        self._clouds: list[CloudStreams] = []
        self._made: Creation | None = None
        self._use: StackUse | None = None
        self._relays = RunRelays()
        self._faults: RunFaults
        self._watched, self._before = RunObjects(), Condition()

    def answer(self, request: StewardRequest) -> StackFound | Names | Health | Problems:
        """Carry out one request; raises the error that prevents it."""
        match request:
            case OpenStack():
                return self.open(request)
            case PreparePipeline():
                fetch_files(request.pipeline, self._endpoints())
                if fault := request.pipeline.prepared_for:
                    what = f"preparing the servers for {fault}"
                    within(INJECT_S, what, lambda: self._faults.prepare(fault, self._endpoints()))
                return within(
                    PREPARE_S,
                    "preparing the pipeline",
                    lambda: self.prepare(request),
                    lives_on=True,
                )
            case AwaitCommitted():
                return self.committed()
            case AwaitReady():
                return within(INJECT_S, "waiting for servers", self.await_ready)
            case InjectFault():
                return within(INJECT_S, f"the fault {request.fault}", lambda: self.inject(request))
            case HealFault():
                return within(HEAL_S, "undoing a fault", self.heal)
            case AskHealth():
                return within(HEALTH_S, "asking the servers for their health", self.health)
            case ReleasePipeline():
                return self.release()
            case CloseSteward():
                return self.close()

    def open(self, request: OpenStack) -> StackFound:
        """Find the stack or start one, remove what dead runs left, and start this run's journal.

        Refuses servers outside loopback that are not allowed by name, before it contacts any.
        """
        self._run, self._allowed = request.run, request.allowed
        if mistakes := stack_mistakes(self._checkout, os.environ, self._allowed):
            raise StackConfigError("; ".join(mistakes))
        self._use = StackUse(state_of(self._checkout), request.run)
        tried = self._undo_faults()
        endpoints = locate(self._checkout, os.environ)
        owned = endpoints is None
        self._found = StackFound(endpoints or self._start_stack(request.profile), owned)
        for old in abandoned(self._journals):
            self._clear(old, tried)
        self._found.endpoints.adopt(os.environ)
        self._journal = self._new_journal(self._found.endpoints)
        self._faults = RunFaults(self._checkout, self._journal, self._relays.by_place)
        return self._found

    def _undo_faults(self) -> dict[Path, Sequence[str]]:
        """Undo the faults of dead runs first, because a server may not answer until then. Returns
        by journal those that could not be undone.
        """
        tried: dict[Path, Sequence[str]] = {}
        for old in abandoned(self._journals):
            with closing(old):
                head = old.head()
                tried[old.path] = [] if head is None else undo_faults(old, head.endpoints)
            for problem in tried[old.path]:
                _say(f"a fault of a dead run is not undone: {problem}")
        return tried

    def _new_journal(self, endpoints: Endpoints) -> Journal:
        return Journal.create(self._journals / f"{self._run}.jsonl", self._run, endpoints)

    def _start_stack(self, profile: str) -> Endpoints:
        # Tied to this process: if the steward is killed meanwhile, nobody else stops the stack.
        tie = both(_obey_sigterm, tied_to_parent(signal.SIGTERM))
        done = self._stack("up", "--profile", profile, before=tie)
        endpoints = locate(self._checkout, os.environ) if done.returncode == 0 else None
        if endpoints is not None and self._use is not None:
            self._use.started()
        if endpoints is None:
            raise TargetError(
                "the stack did not come up; its own message above says why (make stack-logs shows"
                " more)"
            )
        return endpoints

    def _stack(
        self, *arguments: str, before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `python -m infra.stack ...`, which has limits of its own.

        Its progress goes to the terminal, never into this process's answers. It must not hold the
        requests' socket open either: a run sees by the socket's end that its steward has died.
        """
        return subprocess.run(
            module_command("infra.stack", *arguments),
            cwd=self._checkout,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
            preexec_fn=before,
        )

    def _clear(self, old: Journal, tried: Mapping[Path, Sequence[str]]) -> None:
        """Remove what a dead run left; a failure is named, and the next run tries again.

        A fault whose undoing has just failed (`tried`) is not tried again, because that takes
        minutes.
        """
        with closing(old):
            head = old.head()
            if head is None:
                return
            head.endpoints.adopt(os.environ)
            faults = tried.get(old.path)
            problems = list(undo_faults(old, head.endpoints) if faults is None else faults)
            problems += remove_objects(old, head.endpoints, ABANDONED_S)
            for problem in problems:
                _say(
                    f"run {head.run} has left {problem}; the next run tries again, unless you"
                    f" delete {old.path}"
                )
            if not problems:
                _say(f"cleared away what run {head.run} had left behind")

    def _note(self, kind: str, name: str) -> str:
        assert self._journal is not None
        self._journal.add(kind, name)
        return name

    def prepare(self, request: PreparePipeline) -> Names:
        """Create one pipeline's objects; returns their names."""
        relayed = request.pipeline.relayed
        registry_relayed = self._stand_before(relayed)
        endpoints = self._endpoints()
        self._made = Creation(
            self._run, endpoints, self._checkout, self._allowed, self._note, self._clouds
        )
        names = self._made.create(request)
        if request.pipeline.small_disk:
            mount_small(Path(self._note("mount", names.warehouse)))
        if "sink" in relayed:
            names = replace(names, sink_hostaddr=self._relays.before_sink(endpoints))
        if "kafka" in relayed:
            names = replace(names, kafka_relayed=self._relays.before_kafka(endpoints))
        names = replace(names, registry_relayed=registry_relayed)
        self._watched = self._made.objects(request.pipeline, names)
        self._before = look(endpoints, self._watched)
        if mistakes := list(broken(self._watched, self._before)):
            raise TargetError(f"{'; '.join(mistakes)}; correct that, then run again")
        return names

    def _stand_before(self, relayed: Sequence[str]) -> str:
        """Have connectors reach servers through relays; returns the registry's URL through one."""
        assert self._found is not None
        endpoints, registry = self._found.endpoints, ""
        if "source" in relayed:
            endpoints = self._relays.before_source(endpoints)
        if "registry" in relayed:
            endpoints, registry = self._relays.before_registry(endpoints)
        self._found = StackFound(endpoints, self._found.owns_stack)
        return registry

    def _endpoints(self) -> Endpoints:
        assert self._found is not None
        return self._found.endpoints

    def committed(self) -> Problems:
        """Return when Connect has stored the position of the run's connector."""
        if self._made is not None and self._made.connector:
            wait_until_committed(self._endpoints(), self._made.connector, STREAMING_DEADLINE_S)
            # Connect may have restarted the task until now; from here on a restart is unexpected.
            self._before = look(self._endpoints(), self._watched)
        return Problems()

    def health(self) -> Health:
        """What has happened to the servers and the run's objects since `prepare`: restarts,
        permanent losses, other people's changes, and the number of records that the topics have
        deleted.
        """
        endpoints = self._endpoints()
        now = look(endpoints, self._watched)
        found = changes(self._watched, self._before, now)
        made = () if self._made is None else self._made.topics
        topics = [name for name in made if now.topics.get(name)]
        bootstrap = endpoints.kafka_bootstrap
        deleted = kafka_topics.deleted_records(bootstrap, topics) if topics else 0
        clock = now.source_clock or ONE_CLOCK
        return Health(
            restarted=found.restarted,
            gone=found.gone,
            disturbed=found.disturbed,
            deleted_records=deleted,
            source_ahead_us=clock.offset_us,
            source_bound_us=clock.bound_us,
        )

    def inject(self, request: InjectFault) -> Problems:
        """Do a fault; undone whatever happens to this run."""
        self._faults.inject(request, self._endpoints())
        return Problems()

    def await_ready(self) -> Problems:
        """Return when the fault can be done that the servers were prepared for."""
        self._faults.await_ready(self._endpoints())
        return Problems()

    def heal(self) -> Problems:
        """Undo the last fault, if there is one."""
        self._faults.heal(self._endpoints())
        return Problems()

    def release(self) -> Problems:
        """Remove what `prepare` has created so far; the stack stays."""
        assert self._journal is not None
        return Problems(tuple(remove_all(self._journal, self._endpoints())))

    def close(self) -> Problems:
        """Remove everything, and stop a stack that this run started."""
        if self._journal is None or self._found is None:
            return Problems(tuple(self._let_go()))
        journal, self._journal = self._journal, None
        for clouds in self._clouds:
            clouds.close()
        with closing(journal):
            # Everything in the stack disappears with it, so its objects need not be removed one by
            # one.
            problems = self._let_go()
            problems += remove_all(journal, self._found.endpoints)
        return Problems(tuple(problems))

    def _let_go(self) -> list[str]:
        """Stop a stack that a run has started, if no other run uses it."""
        use, self._use = self._use, None
        return self._stop_stack() if use is not None and use.end() else []

    def _stop_stack(self) -> list[str]:
        done = self._stack("down")
        return (
            []
            if done.returncode == 0
            else [f"`python -m infra.stack down` ended with {done.returncode}"]
        )


def answer(steward: Steward, line: str) -> bytes:
    """Carry out the request in a line; a failure becomes an answer too."""
    try:
        request: StewardRequest = decode(line, REQUEST, "the run")
        return encode(StewardAnswer(ok=steward.answer(request)))
    except (StackConfigError, TableError, RightsError, WireError) as error:
        return _refusal(error, 2)
    except HarnessError as error:
        return _refusal(error, error.exit_code)
    except (*REFUSALS, psycopg.Error, OSError) as error:
        return _refusal(error, 3)
    except Exception as error:  # noqa: BLE001 - whatever a service's client raises; the run concludes
        return _refusal(f"{type(error).__name__}: {error}", 3)


def _refusal(error: object, exit_code: int) -> bytes:
    return msgspec.json.encode(StewardAnswer(error=str(error).strip(), exit_code=exit_code))


def main() -> int:
    """Serve requests until the input ends; then remove everything that is left."""
    # The run decides when it ends, also after Ctrl-C in the terminal that both share.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep_output_from_failing()
    answers = sys.__stdout__
    assert answers is not None
    steward = Steward(CHECKOUT)
    for line in sys.stdin:
        try:
            answers.write(answer(steward, line).decode("utf-8") + "\n")
            answers.flush()
        except OSError:
            break  # the run died during this request
    for problem in steward.close().problems:
        _say(f"left behind: {problem}")
    finish_output()
    # Threads that wait for a dead server are abandoned.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
