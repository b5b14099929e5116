"""Somebody else's pipeline as a whole, which runs already: a table goes in, a tap sees what comes
out.
"""

from __future__ import annotations

from cdc_users.pipeline.declaration import CaptureDeclaration

NONE = CaptureDeclaration(
    "none", "Yours", provision=lambda _: {}, direct=True, runs_already=True, transports=("none",)
)
