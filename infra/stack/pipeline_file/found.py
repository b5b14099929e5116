"""What was found of a pipeline by asking it: plain values, one a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from infra.postgres.catalog import ReplicaIdentity

#: Exit codes of a check, the worst first.
UNREACHABLE, WRONG, RIGHT = 3, 2, 0


@dataclass(frozen=True, slots=True)
class PartTrouble:
    """What is wrong with a part, with its remedy; `exit_code` says whether it did not answer (3)
    or cannot be used as it is (2).
    """

    text: str
    exit_code: int = WRONG


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The table that a run would write to."""

    name: str
    identity: ReplicaIdentity
    probe: bool
    published: bool | None = None


@dataclass(frozen=True, slots=True)
class PartFound:
    """One part: where it is, what it said of itself, what is wrong with it."""

    name: str
    place: str
    facts: Sequence[str] = ()
    troubles: Sequence[PartTrouble] = ()


@dataclass(frozen=True, slots=True)
class PipelineFound:
    """All parts in the order of the data's way, and what the rest depends on.

    `append_time` is whether the topic says when an event was appended; None where that is not
    known.
    """

    parts: Sequence[PartFound] = ()
    table: SourceTable | None = None
    slot: str = ""
    connector: str = ""
    topic: str = ""
    append_time: bool | None = None
    group: str = ""
    capture: str = "debezium"
    tap: str = ""
    platform: str = ""
    sections: frozenset[str] = field(default_factory=frozenset)
    #: What was looked for by its name and is not there: slot, topic, table, connector.
    absent: frozenset[str] = field(default_factory=frozenset)

    def lacking(self, what: str) -> PipelineFound:
        """The same, without a thing that was looked for."""
        return replace(self, absent=self.absent | {what})

    @property
    def troubles(self) -> list[PartTrouble]:
        """Everything that is wrong."""
        return [trouble for part in self.parts for trouble in part.troubles]

    @property
    def exit_code(self) -> int:
        """3 where a part does not answer, 2 where one cannot be used, 0 where all is right."""
        return max((trouble.exit_code for trouble in self.troubles), default=RIGHT)
