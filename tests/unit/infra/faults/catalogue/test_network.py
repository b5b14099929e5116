"""A network's trouble is that of its own relay, and over when it is healed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from infra.faults.catalogue import network
from infra.faults.catalogue.network import NARROW, SILENT, SLOW
from infra.faults.fault import RELAYED, Fault, FaultGround, FaultObjects, faults, heal, inject
from infra.faults.relay import Relay, Trouble
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError

NOWHERE = Endpoints("external")
NETWORK = [fault for fault in faults().by_name.values() if set(fault.needs) & set(RELAYED)]
TROUBLES = {"slow": SLOW, "narrow": NARROW, "silent": SILENT}


def never(*_: str) -> None:
    raise AssertionError


@pytest.fixture
def relays() -> Iterator[dict[str, Relay]]:
    """One at each place, before a server that says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        made = {place: Relay("127.0.0.1", server.getsockname()[1]) for place in RELAYED.values()}
        for relay in made.values():
            relay.start()
        yield made


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch, relays: dict[str, Relay]) -> list[tuple[str, Trouble]]:
    """What a table would have gone through, with the registry's trouble at that time."""
    done: list[tuple[str, Trouble]] = []
    for name in ("add_unknown_column", "drop_unknown_columns"):
        monkeypatch.setattr(
            network,
            name,
            lambda _, name=name: done.append((name, relays["registry"]._trouble)),
        )
    return done


def test_each_place_has_its_faults() -> None:
    assert {RELAYED[need] for fault in NETWORK for need in fault.needs if need in RELAYED} == {
        *("source", "sink", "kafka", "registry")
    }
    assert len(NETWORK) == 12


def test_a_column_comes_once_the_registry_is_silent_and_goes_once_it_is_not(
    relays: dict[str, Relay], columns: list[tuple[str, Trouble]]
) -> None:
    ground = FaultGround(NOWHERE, FaultObjects(), never, relays=relays)

    inject("silent-registry-network", ground)
    heal("silent-registry-network", ground)

    assert columns == [("add_unknown_column", SILENT), ("drop_unknown_columns", Trouble())]


@pytest.mark.usefixtures("columns")
@pytest.mark.parametrize("fault", NETWORK, ids=lambda fault: fault.name)
def test_a_fault_is_done_to_the_relay_of_its_place_and_no_other(
    fault: Fault, relays: dict[str, Relay]
) -> None:
    (place,) = [RELAYED[need] for need in fault.needs if need in RELAYED]
    ground = FaultGround(NOWHERE, FaultObjects(), never, relays=relays)
    wanted = TROUBLES.get(fault.name.partition("-")[0], Trouble())

    inject(fault.name, ground)
    assert {name: relay._trouble for name, relay in relays.items()} == {
        name: wanted if name == place else Trouble() for name in relays
    }

    heal(fault.name, ground)
    heal(fault.name, ground)
    assert all(relay._trouble == Trouble() for relay in relays.values())
    assert all(relay._passing.is_set() for relay in relays.values())


@pytest.mark.usefixtures("columns")
@pytest.mark.parametrize("fault", NETWORK, ids=lambda fault: fault.name)
def test_a_relay_that_ended_with_its_run_needs_no_healing(fault: Fault) -> None:
    ground = FaultGround(NOWHERE, FaultObjects(), never)

    inject(fault.name, ground)
    heal(fault.name, ground)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("webhook-refuses", "500"),
        ("webhook-puts-off", "429"),
        ("webhook-hangs", "hang"),
        ("webhook-loses-answers", "lost"),
    ],
)
def test_a_webhook_answers_badly_until_it_is_healed(name: str, how: str) -> None:
    told: list[str] = []
    ground = FaultGround(NOWHERE, FaultObjects(), never, answer_as=told.append)

    inject(name, ground)
    heal(name, ground)

    assert told == [how, ""]


def test_without_a_receiver_of_the_runs_own_none_can_answer_badly() -> None:
    ground = FaultGround(NOWHERE, FaultObjects(), never)

    with pytest.raises(StackError) as told:
        inject("webhook-hangs", ground)

    assert str(told.value) == (
        "there is no webhook receiver of the run's own that could answer 'hang'"
    )
