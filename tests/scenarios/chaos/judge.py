"""What is not as it should be after one run: pure, of what was gathered."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.result import Verdict
from tests.scenarios.chaos.attack import ERROR, FILLER, INTERRUPTED, PASS
from tests.scenarios.chaos.draw import Drawn

#: What a password would look like if it came out anywhere.
CANARY = "canary-4f9d1c"
#: A stop of so long may be seen as so much less: it begins between two events.
SEEN_PART = 0.75
#: Of a moment's latencies, in the order in which they grow; `max` is of a shorter time than these.
PERCENTILES = ("p50", "p95", "p99")
SHOWN = (*PERCENTILES, "max")
NONE_OF = ("lost", "duplicated", "reordered", "unseen", "corrupt", "phantom", "stale")


@dataclass(frozen=True, slots=True)
class Counted:
    """What somebody else has counted after the drain: rows of the source that are no fences,
    records in the topic, and by how many these were ever more than all rows; None where nobody
    could look.
    """

    rows: int | None = None
    records: int | None = None
    surplus: int = 0

    def and_then(self, *, rows: int | None, records: int | None, surplus: int) -> Counted:
        """The same after one more look; a third party may have deleted rows meanwhile."""
        return Counted(
            _most(self.rows, rows), _most(self.records, records), max(self.surplus, surplus)
        )


def _most(one: int | None, other: int | None) -> int | None:
    return max((count for count in (one, other) if count is not None), default=None)


@dataclass(frozen=True, slots=True)
class Ended:
    """One run that was attacked, after its end.

    `code` is None where it had not ended in its time; `met` is whether the attack has met anything;
    `result` is the file's content, None where there is none; `told` is what was wrong with others.
    """

    drawn: Drawn
    #: The part of its life in which it was met: the one drawn, or a later one where it was quick.
    moment: str
    code: int | None
    met: bool
    took_s: float
    output: str
    result: Mapping[str, Any] | None = None
    #: Its files that have a secret in them.
    telling: Sequence[str] = ()
    counted: Counted = field(default_factory=Counted)
    #: Each moment's latencies (timeline.csv), which a run in smoke size has too.
    latencies_ms: Sequence[Mapping[str, float]] = ()
    told: Sequence[str] = ()

    @property
    def reason(self) -> str:
        """Why it did not pass, in its own words."""
        return "" if self.result is None else "; ".join(self.result["reasons"][:1])


def result_of(results: Path) -> Mapping[str, Any] | None:
    """The result that a run has written, if any."""
    for path in results.glob("*/result.json"):
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    return None


def latencies_of(results: Path) -> list[dict[str, float]]:
    """The latencies of each moment of a run, as far as it could write them."""
    found = []
    for path in results.glob("*/timeline.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found += [
                {name: float(row[f"{name}_ms"]) for name in SHOWN if row.get(f"{name}_ms")}
                for row in csv.DictReader(file)
            ]
    return found


def telling(results: Path) -> list[str]:
    """The files below a directory that have a secret in them."""
    return [
        path.name
        for path in results.rglob("*")
        if path.is_file() and path.name != FILLER and CANARY.encode() in path.read_bytes()
    ]


def wrong(ended: Ended) -> list[str]:
    """All that is wrong about it; nothing where the harness has kept its word."""
    return [
        *_end(ended),
        *_words(ended),
        *_files(ended),
        *_numbers(ended),
        *ended.told,
    ]


def accused(ended: Ended, found: Sequence[str], orphaned: Sequence[str]) -> list[str]:
    """What of that which is there after a run is its fault: what it has left, where it could clean
    up or has not named it, and what was `orphaned` before, where it has come so far that it could
    remove anything.
    """
    named = any("left behind" in note for note in (ended.result or {}).get("notes", ()))
    lawful = ended.met and (ended.drawn.attack.orphans or named)
    opened = "benchmark.start" in ended.output
    late = [f"{item}, which this run should have removed" for item in found if item in orphaned]
    new = [item for item in found if item not in orphaned]
    return [*(late if opened else ()), *(() if lawful else new)]


def _end(ended: Ended) -> Iterator[str]:
    if ended.code is None:
        yield f"hangs: no end within {ended.took_s:.0f} s"
        return
    attack = ended.drawn.attack
    allowed = attack.allowed(ended.moment) if ended.met else frozenset({PASS})
    if ended.code not in allowed:
        yield f"exit {ended.code}, not one of {sorted(allowed)}: {ended.reason}"
    if ended.met and ended.code != PASS and ended.took_s > attack.ends_s:
        yield f"ended {ended.took_s:.0f} s after the attack, limit {attack.ends_s:g} s"


def _words(ended: Ended) -> Iterator[str]:
    for word in ("Traceback (most recent call last)", "harness crashed", "BrokenPipeError"):
        if word in ended.output:
            yield f"{word!r} in its output"
    if CANARY in ended.output:
        yield "a secret in its output"


def _files(ended: Ended) -> Iterator[str]:
    yield from (f"a secret in {name}" for name in ended.telling)
    result = ended.result
    if ended.code is None or ended.code < 0 or ended.code == INTERRUPTED:
        return
    if result is None:
        if ended.code != ERROR or ended.drawn.attack.name != "full disk":
            yield f"exit {ended.code} without a result"
        return
    if Verdict(result["verdict"]).exit_code != ended.code:
        yield f"exit {ended.code}, but the file says {result['verdict']}"
    if ended.code != PASS and not result["reasons"]:
        yield f"{result['verdict']} without a reason"
    if f"verdict: {result['verdict']}" not in ended.output and _read(ended):
        yield f"the terminal does not say {result['verdict']}"


def _read(ended: Ended) -> bool:
    """Whether somebody has read all that it printed."""
    return not (ended.met and ended.drawn.attack.name in ("closed pipe", "resting reader"))


def _numbers(ended: Ended) -> Iterator[str]:
    """A PASS is held against the plan, against itself and against whoever else has counted."""
    result = ended.result
    if ended.code != PASS or result is None:
        return
    steps = result["steps"]
    sent = sum(step["ledger"]["sent"] for step in steps)
    offered = sum(step["arrivals"]["offered"] for step in steps)
    planned = ended.drawn.scene.arrivals
    if planned is not None and not offered == sent == planned:
        yield f"PASS with {offered} offered and {sent} sent of {planned} planned"
    for step in steps:
        ledger, arrivals = step["ledger"], step["arrivals"]
        if ledger["sent"] != ledger["delivered"]:
            yield f"PASS with {ledger['delivered']} of {ledger['sent']} delivered"
        if bad := {name: ledger[name] for name in NONE_OF if ledger.get(name)}:
            yield f"PASS with {bad}"
        if not arrivals["offered"] == arrivals["started"] == arrivals["completed"]:
            yield f"PASS with {arrivals}"
    yield from _latencies(ended.latencies_ms)
    if planned is not None:
        yield from _counted(ended.counted, sent)
    yield from _held_up(ended)


def _latencies(moments: Sequence[Mapping[str, float]]) -> Iterator[str]:
    for moment in moments:
        points = [moment[name] for name in PERCENTILES if name in moment]
        if points != sorted(points) or any(point < 0 for point in moment.values()):
            yield f"PASS with {dict(moment)}"


def _counted(counted: Counted, sent: int) -> Iterator[str]:
    if counted.rows is not None and counted.rows != sent:
        yield f"PASS with {sent} sent, and {counted.rows} rows were in the source"
    if counted.records is not None and counted.records < sent:
        yield f"PASS with {sent} sent, and {counted.records} records were in the topic"
    if counted.surplus:
        yield f"PASS, and the topic had {counted.surplus} records more than there were rows"


def _held_up(ended: Ended) -> Iterator[str]:
    """A stop in the load is in the latencies: whoever counts from when an event was due sees it."""
    holds_s, scene = ended.drawn.attack.holds_s, ended.drawn.scene
    paced = "--rate" in scene.options or scene.web
    if not (ended.met and holds_s and paced and ended.moment == "load"):
        return
    seen_ms = max((moment.get("max", 0.0) for moment in ended.latencies_ms), default=0.0)
    if seen_ms < SEEN_PART * holds_s * 1000:
        yield f"PASS, stopped for {holds_s:g} s, and its latest event is {seen_ms:.0f} ms late"
