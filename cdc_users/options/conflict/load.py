"""What the options of the load need and exclude."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.options.conflict.rule import UNREADABLE, OptionValues


def one_load(values: OptionValues) -> Sequence[str]:
    """Rows, a rate and stages exclude each other."""
    loads = [f"--{name}" for name in ("rows", "rate", "stages") if values.get(name)]
    return [f"{' and '.join(loads)} contradict each other; name one load"] if len(loads) > 1 else []


def rate_lasts(values: OptionValues) -> Sequence[str]:
    """A rate is held for a while."""
    if values.get("faults", UNREADABLE):
        return []  # the faults decide how long the rate is held
    if values.get("rate") and not values.get("duration", UNREADABLE):
        return ["--rate needs --duration, e.g. --duration 30s"]
    return []


def duration_has_a_rate(values: OptionValues) -> Sequence[str]:
    """A duration belongs to a rate."""
    if values.get("duration") and not values.get("rate", UNREADABLE):
        return ["--duration needs --rate, e.g. --rate 1000"]
    return []


def rate_makes_an_arrival(values: OptionValues) -> Sequence[str]:
    """A load must have one arrival at least."""
    rate, duration = values.get("rate"), values.get("duration")
    if rate and duration and rate * duration < 1:
        return [f"--rate {rate:g} for {duration:g} s makes no arrival; raise one of them"]
    return []


def mode_fits_the_rate(values: OptionValues) -> Sequence[str]:
    """A paced step has a rate, and a drain has none."""
    mode, rate = values.get("mode"), values.get("rate", UNREADABLE)
    if mode == "paced" and not rate:
        return ["--mode paced needs --rate and --duration, e.g. --rate 1000 --duration 30s"]
    if mode == "drain" and rate not in (None, UNREADABLE):
        return [
            "--mode drain and --rate contradict each other; a drain has no rate, only --records"
        ]
    return []
