"""A pipeline that runs already, as a whole: the run writes to its table, and a tap sees the events
that come out.
"""

from __future__ import annotations

from cdc_users.pipeline.declaration import CaptureDeclaration

NONE = CaptureDeclaration(
    "none", "Yours", provision=lambda _: {}, direct=True, runs_already=True, transports=("none",)
)
