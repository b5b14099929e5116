"""The answers of a pipeline's parts: plain values, one for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from infra.postgres.catalog import ReplicaIdentity

#: Exit codes of a check, the worst first.
UNREACHABLE, WRONG, RIGHT = 3, 2, 0


@dataclass(frozen=True, slots=True)
class PartTrouble:
    """A problem of a part, with its remedy; `exit_code` says whether the part did not answer (3) or
    cannot be used in its present state (2).
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
    """One part: its address, what it said of itself, and its problems."""

    name: str
    place: str
    facts: Sequence[str] = ()
    troubles: Sequence[PartTrouble] = ()


@dataclass(frozen=True, slots=True)
class PipelineFound:
    """All parts in the order in which data passes them, and the facts that later decisions need.

    `append_time` says whether the topic's timestamps are append times; None if that is unknown.
    """

    parts: Sequence[PartFound] = ()
    table: SourceTable | None = None
    slot: str = ""
    connector: str = ""
    topic: str = ""
    append_time: bool | None = None
    group: str = ""
    #: The kind of database where rows go in.
    source: str = "postgres"
    capture: str = "debezium"
    taps: Sequence[str] = ()
    platform: str = ""
    sections: frozenset[str] = field(default_factory=frozenset)
    #: Named things that were looked for and are missing: slot, topic, table, connector.
    absent: frozenset[str] = field(default_factory=frozenset)

    def lacking(self, what: str) -> PipelineFound:
        """The same, with one more missing thing."""
        return replace(self, absent=self.absent | {what})

    @property
    def troubles(self) -> list[PartTrouble]:
        """All problems of all parts."""
        return [trouble for part in self.parts for trouble in part.troubles]

    @property
    def exit_code(self) -> int:
        """3 if a part does not answer, 2 if one cannot be used, 0 if all is right."""
        return max((trouble.exit_code for trouble in self.troubles), default=RIGHT)
