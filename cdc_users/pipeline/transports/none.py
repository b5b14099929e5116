"""No service that the run knows: the user's own pipeline leads from the table to its outlets."""

from __future__ import annotations

from cdc_users.pipeline.declaration import TransportDeclaration

NONE = TransportDeclaration("none", "your pipeline", provision=lambda _: {}, named=True)
