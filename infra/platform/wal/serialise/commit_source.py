"""The transaction that changes belong to, as serialised changes name it."""

from __future__ import annotations

import msgspec


class CommitSource(msgspec.Struct, frozen=True, gc=False, rename={"commit_us": "commit_ts_us"}):
    """The transaction that changes belong to."""

    lsn: int
    commit_us: int
    xid: int

    def fields(self) -> dict[str, int]:
        """As the JSON has it."""
        fields: dict[str, int] = msgspec.to_builtins(self)
        return fields
