"""What options need and exclude, each with its remedy: the rules that their records name.

A rule takes the values by option and returns every mistake. Pure. An option whose text could not be
read is missing; its mistake is reported already, so a rule says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cdc_users.pipeline.declaration import DEFAULT_SINK, CaptureDeclaration, can_feed, captures

#: The values by option; an option whose text could not be read is missing.
OptionValues = Mapping[str, Any]
#: Returns every mistake in a combination of options, each with its remedy.
Rule = Callable[[OptionValues], Sequence[str]]
#: Stands for a value that could not be read, which is not the same as an absent one.
UNREADABLE = object()


def capture_of(values: OptionValues) -> CaptureDeclaration | None:
    """The capture's declaration; None where it could not be read."""
    return captures().by_name.get(str(values.get("capture")))


def by_reader(values: OptionValues) -> bool:
    """Whether the direct reader reads the log, with a consumer behind it or without."""
    capture = capture_of(values)
    return capture is not None and capture.direct


def runs_already(values: OptionValues) -> bool:
    """Whether the capture and everything behind it run already, outside of this run."""
    capture = capture_of(values)
    return capture is not None and capture.runs_already


def is_direct(values: OptionValues) -> bool:
    """Whether the direct reader is the whole platform, without a consumer behind it."""
    feeds = can_feed(
        str(values.get("capture")),
        str(values.get("transport")),
        str(values.get("sink", DEFAULT_SINK)),
    )
    return by_reader(values) and not feeds


def is_surely_direct(values: OptionValues) -> bool:
    """`is_direct`, and not only because a transport or a sink could not be read."""
    return {"transport", "sink"} <= values.keys() and is_direct(values)
