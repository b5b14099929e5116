"""The transaction of changes, as serialised changes name it."""

from __future__ import annotations

import msgspec


class CommitSource(msgspec.Struct, frozen=True, gc=False, rename={"commit_us": "commit_ts_us"}):
    """The transaction of changes: its commit position, commit time and number."""

    lsn: int
    commit_us: int
    xid: int

    def fields(self) -> dict[str, int]:
        """The transaction as in the JSON."""
        fields: dict[str, int] = msgspec.to_builtins(self)
        return fields
