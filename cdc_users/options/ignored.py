"""Options that do nothing where they are given, so that a run would answer another question than
was asked. Pure.

Each table belongs to one kind of shape: the options, by name, that it does not read, with what to
do instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cdc_users.scenario import Step

LEAVE = "leave it out"
_PRESSURE = dict.fromkeys(("overload", "fill", "hold"), LEAVE)
_IN_THE_TOPIC = "its records wait in the topic, --records says how many"

VOLUME: Mapping[str, str] = {
    "sinks": "use --sink",
    "records": "use --rows",
    "mode": "use --rows, or --rate and --duration",
    "repeat": LEAVE,
    **_PRESSURE,
}
LATENCY: Mapping[str, str] = {
    "rows": "use --records",
    "stages": "use --rate and --duration",
    "sink": "use --sinks",
    "repeat": LEAVE,
    **_PRESSURE,
}
BACKPRESSURE: Mapping[str, str] = {
    "rows": "use --fill and --hold",
    "rate": "use --overload, a multiple of what the sink can take",
    "duration": "use --fill and --hold",
    "stages": "use --overload, --fill and --hold",
    "arrival": LEAVE,
    "rows_per_transaction": LEAVE,
    "records": "use --fill and --hold",
    "mode": LEAVE,
    "sinks": "use --sink-delay",
    "repeat": LEAVE,
}
PARTITIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("rows", "rate", "duration", "stages", "warm_up", "arrival", "late", "mode"), _IN_THE_TOPIC
    ),
    "rows_per_transaction": LEAVE,
    "sink": "use --sinks",
    "sink_delay": "its waiting sink has a delay of its own",
    **_PRESSURE,
}
#: What only one sink reads.
OF_SINK: Mapping[str, str] = {
    "sink_delay": "slow",
    "iceberg_mode": "iceberg",
    "iceberg_commit_interval": "iceberg",
}
#: What only an open loop reads.
PACED = ("warm_up", "arrival", "late")
#: What the direct reader, behind which there is neither platform nor connector, does not read.
NOT_DIRECT = ("batch_size", "tuning", *OF_SINK)


def flag(name: str) -> str:
    """An option's flag, by its name."""
    return f"--{name.replace('_', '-')}"


def unread(scenario: str, idle: Mapping[str, str], given: Collection[str]) -> list[str]:
    """A mistake for each option that was given and that a shape with this table does not read."""
    return [
        f"{flag(name)} does nothing in {scenario}; {idle[name]}" for name in idle if name in given
    ]


def unused(given: Collection[str], steps: Sequence[Step]) -> list[str]:
    """A mistake for each option that was given and that none of the steps came to use."""
    mistakes = []
    if all(step.mode != "paced" for step in steps):
        mistakes += [
            f"{flag(name)} needs --rate and --duration: without them everything is due at once"
            for name in PACED
            if name in given
        ]
    elif "records" in given and all(step.mode == "paced" for step in steps):
        mistakes.append(f"--records does nothing beside --rate, which has --duration; {LEAVE}")
    if any(step.pipeline.source == "postgres" and step.pipeline.capture == "wal" for step in steps):
        found = [name for name in NOT_DIRECT if name in given]
        return mistakes + [
            f"{flag(name)} does nothing with --capture wal; {LEAVE}" for name in found
        ]
    sinks = {step.pipeline.sink for step in steps}
    return mistakes + [
        f"{flag(name)} does nothing without the sink {sink}; name that sink, or leave it out"
        for name, sink in OF_SINK.items()
        if name in given and sink not in sinks
    ]
