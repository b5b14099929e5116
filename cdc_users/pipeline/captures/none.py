"""Somebody else's pipeline as a whole, which runs already: a table goes in, a tap sees what comes
out.
"""

from __future__ import annotations

from cdc_users.pipeline.declaration import CaptureDeclaration
from cdc_users.pipeline.prepared import MadeNames
from cdc_users.pipeline.provision.ground import Ground


def _provision(ground: Ground) -> MadeNames:
    del ground
    return {}


NONE = CaptureDeclaration(
    "none", "Yours", provision=_provision, direct=True, runs_already=True, transports=("none",)
)
