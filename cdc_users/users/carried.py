"""Objects of which a process has one: Locust's environment (or its events) holds them, so that no
module has global state.
"""

from __future__ import annotations

from typing import Any, TypeVar

Part = TypeVar("Part")
_NAME = "locust_cdc"


def carried(carrier: Any, kind: type[Part]) -> Part:
    """The carrier's one object of this kind, created on the first call.

    The carrier is Locust's Environment, or its Events before there is an environment.
    """
    parts: dict[type, Any] = vars(carrier).setdefault(_NAME, {})
    if kind not in parts:
        parts[kind] = kind()
    part: Part = parts[kind]
    return part
