"""The load under faults as a share of what the pipeline can take: `--at 50% --capacity ...`.

The option's rate is in arrivals (transactions), the capacity of a search
(docs/scenarios/capacity.md) in events.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from cdc_users.measure.judgement.result import Verdict
from cdc_users.measure.number import number, shown
from cdc_users.measure.schedule.plan import parse_rate
from cdc_users.options.conflict.rule import UNREADABLE, OptionValues


def share(text: str) -> float:
    """A share of a capacity, e.g. 50%; raises ValueError."""
    if not text.endswith("%"):
        raise ValueError(f"{shown(text)} is no percentage; write e.g. 50%")
    percent = float(number(text[:-1].strip()))
    if not 1 <= percent <= 100:
        raise ValueError(f"{shown(text)} must be from 1% to 100%")
    return percent / 100


def measured_capacity(text: str) -> float:
    """Events per second: a rate, or the answer in a result.json of the scenario capacity; raises
    ValueError.
    """
    if not text.endswith(".json"):
        return parse_rate(text)
    try:
        found = json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{text} cannot be read as JSON ({error}); name a result.json") from error
    search = _part(found, "capacity")
    low = search.get("low_per_s")
    if not search:
        raise ValueError(f"{text} is no result of the scenario capacity; name one, or a rate")
    if isinstance(found, dict) and found.get("verdict") == Verdict.INVALID:
        raise ValueError(f"{text} is INVALID, so its rate may not be used; name another, or a rate")
    if not isinstance(low, int | float) or not 0 < low < math.inf:
        why = search.get("why") or "it names no rate that held"
        raise ValueError(f"{text} found no sustainable rate ({why}); name another, or a rate")
    return float(low)


def _part(found: object, name: str) -> Mapping[str, object]:
    part = found.get(name) if isinstance(found, dict) else None
    return part if isinstance(part, dict) else {}


def share_has_a_capacity(values: OptionValues) -> Sequence[str]:
    """A share needs its capacity, and excludes any other load."""
    at, capacity = (values.get(name, UNREADABLE) for name in ("at", "capacity"))
    mistakes = []
    if at and at is not UNREADABLE and capacity is None:
        mistakes.append("--at needs --capacity, a rate or a result.json of the scenario capacity")
    if capacity and capacity is not UNREADABLE and at is None:
        mistakes.append("--capacity needs --at, e.g. --at 50%")
    if at and at is not UNREADABLE and values.get("rate"):
        mistakes.append("--rate and --at contradict each other; name one load")
    return mistakes


def arrivals_per_s(
    rate: float | None, at: float | None, capacity: float | None, rows_per_transaction: int
) -> float | None:
    """The load in arrivals: `rate`, or a share of a capacity in events; None where neither is
    given.
    """
    if at is None or capacity is None:
        return rate
    return at * capacity / rows_per_transaction
