"""The use of processors, memory and storage by the pipeline and the harness during a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from cdc_users.measure.judgement.cost import CostReading, Costs, cost_of
from cdc_users.observe.message import GaugeSample

#: The servers of a stack; those that run elsewhere cannot be measured.
SERVERS = (
    "postgres",
    "postgres-walsender",
    "postgres-clients",
    "kafka",
    "schema-registry",
    "connect",
)
UNKNOWN = "the servers' use is not known: they are not processes of a stack on this machine"


def step_cost(gauges: Sequence[GaugeSample], *, servers_known: bool) -> Costs:
    """Each part's cost by name, in the order of the way; None for servers that run elsewhere."""
    readings: dict[str, list[CostReading]] = defaultdict(list)
    for sample in gauges:
        for name, process in (sample.processes or {}).items():
            readings[name].append(
                CostReading(
                    sample.at_us / 1e6,
                    process.cpu_s,
                    process.rss_bytes,
                    process.uss_bytes,
                    process.written_bytes,
                )
            )
    names = [*(name for name in SERVERS if name in readings or not servers_known)]
    names += sorted(set(readings) - set(names))
    found: dict[str, Mapping[str, float | None] | None] = {}
    for name in names:
        cost = cost_of(readings.get(name, ()))
        if cost is not None:
            found[name] = cost.to_json()
        elif name not in readings:
            found[name] = None
    return found
