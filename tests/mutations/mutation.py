"""A fix that is taken out, and where the fixes and their tests are."""

from __future__ import annotations

from dataclasses import dataclass

UNIT = "tests/unit/infra"
CONSUME, SINKS = "infra/platform/consume", "infra/platform/sinks"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fix taken out: in this file, this text (which is there once) for that; and the test that
    must fail then.
    """

    name: str
    path: str
    fix: str
    fault: str
    test: str

    def applied(self, text: str) -> str:
        """The file's text without the fix; raises ValueError where the fix is not there once."""
        if text.count(self.fix) != 1:
            raise ValueError(
                f"{self.name}: {self.path} has {self.fix!r} {text.count(self.fix)} times, not once"
            )
        return text.replace(self.fix, self.fault)
