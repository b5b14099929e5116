"""A network on a bad day between the connector and PostgreSQL: a relay of the run's own."""

from __future__ import annotations

from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultDeed, FaultGround
from infra.faults.relay import Trouble

#: As between continents; as a line that is far too narrow for the load; as a cable that is pulled.
SLOW = Trouble(latency_s=0.15, jitter_s=0.05)
NARROW = Trouble(bytes_per_s=64_000)
SILENT = Trouble(silent=True)


def _has(trouble: Trouble) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        if ground.relay is not None:  # it ended with the run that had it, and so did the trouble
            ground.relay.trouble(trouble)

    return carry_out


def _reset(ground: FaultGround) -> None:
    if ground.relay is not None:
        ground.relay.reset()


SLOW_NETWORK = Fault(
    "slow-network",
    "Delays what passes between connector and PostgreSQL by 150 to 200 ms in each direction.",
    on="network",
    inject=_has(SLOW),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="a capture near its source; the replication protocol needs few round trips",
)
NARROW_NETWORK = Fault(
    "narrow-network",
    "Lets 64 kB a second pass between connector and PostgreSQL.",
    on="network",
    inject=_has(NARROW),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="a publication of fewer tables and columns",
)
SILENT_NETWORK = Fault(
    "silent-network",
    "Lets nothing pass between connector and PostgreSQL, without closing a connection.",
    on="network",
    inject=_has(SILENT),
    heal=_has(Trouble()),
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="wal_sender_timeout and TCP keepalive decide when both ends notice",
)
RESET_CONNECTIONS = Fault(
    "reset-connections",
    "Breaks every connection between connector and PostgreSQL with a reset, in mid-message.",
    on="network",
    inject=_reset,
    holds=False,
    needs=("relay",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="retriable.restart.connector.wait.ms decides how soon the connector is back",
)
