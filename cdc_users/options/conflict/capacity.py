"""What the options of a search need and exclude (rule.py says what a rule is)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cdc_users.measure.capacity.search import SearchPlan
from cdc_users.measure.judgement.threshold import SERIES
from cdc_users.options.conflict.rule import OptionValues
from cdc_users.pipeline.declaration import (
    DEFAULT_SINK,
    can_feed,
    captures,
    sources,
)

#: A probe's warm-up if `--warm-up` is not given.
WARM_UP_S = 5.0


def search_goes_up(values: OptionValues) -> Sequence[str]:
    """The search begins below its end."""
    start, most = values.get("from_"), values.get("most")
    if start and most and start > most:
        return [f"--from {start:g}/s is above --most {most:g}/s; lower the one or raise the other"]
    return []


def budget_fits_a_probe(values: OptionValues) -> Sequence[str]:
    """A search is at least one probe and its confirmation."""
    known = [values.get(name) for name in ("from_", "most", "probe", "confirm", "precision")]
    budget_s = values.get("budget")
    if None in known or budget_s is None or "warm_up" not in values:
        return []
    start, most, probe_s, confirm_s, precision = (float(value or 0) for value in known)
    warm_up_s = WARM_UP_S if values["warm_up"] is None else values["warm_up"]
    plan = SearchPlan(start, most, probe_s, confirm_s, warm_up_s, precision, budget_s)
    if plan.least_s <= budget_s:
        return []
    return [
        f"--budget {budget_s:g}s is too short for one probe and its confirmation, which take"
        f" {plan.least_s:g} s (--probe {probe_s:g}s and --confirm {confirm_s:g}s, each with its"
        f" warm-up of {warm_up_s:g} s); raise --budget, or shorten --probe or --confirm"
    ]


def an_outage_has_a_connector(values: OptionValues) -> Sequence[str]:
    """An outage pauses a connector of the run's own, so there must be one."""
    if not values.get("outage") or None in (values.get("source"), values.get("capture")):
        return []
    own = values.get("capture") == "debezium" and not values.get("connector")
    if own and values["source"] == "postgres":
        return []
    return [
        "--outage pauses a connector of the run's own, and these options have none; use --source"
        " postgres and --capture debezium, or leave --outage out"
    ]


def slo_has_its_series(values: OptionValues) -> Sequence[str]:
    """The SLO names a series that this pipeline has."""
    missing = _series_missing(values)
    return [
        f"--slo {threshold.text!r}: this pipeline has no series {threshold.metric.path[1]!r}; it"
        f" has {', '.join(name for name in SERIES if name not in missing)}"
        for threshold in values.get("slo") or ()
        if threshold.metric.path[0] == "latency_ms" and threshold.metric.path[1] in missing
    ]


def slo_has_its_samples(values: OptionValues) -> Sequence[str]:
    """A percentile needs samples beyond it, in the first probe already; smoke runs judge no
    figures.
    """
    start, probe_s = values.get("from_"), values.get("probe")
    if not start or not probe_s or values.get("smoke"):
        return []
    return [
        f"--slo {threshold.text!r}: {start:g}/s for {probe_s:g} s makes {start * probe_s:,.0f}"
        f" events, and a {threshold.metric.path[2]} needs {needed:,.0f}; raise --from or --probe"
        for threshold in values.get("slo") or ()
        if round(start * probe_s) < (needed := round(threshold.samples_needed))
    ]


def _series_missing(values: OptionValues) -> Collection[str]:
    """The series that the pipeline of these options does not have."""
    source = sources().by_name.get(str(values.get("source")))
    capture = captures().by_name.get(str(values.get("capture")))
    if source is None or capture is None:
        return ()
    transport, sink = str(values.get("transport")), str(values.get("sink", DEFAULT_SINK))
    missing = set() if source.timed else {"commit", "capture"}
    direct = source.database and capture.direct and not can_feed(capture.name, transport, sink)
    if direct:
        missing |= {"fetch"}
    if values.get("platform") == "none":
        missing |= {"fetch", "queue", "sink_write", "durable"}
    return missing
