"""HTTP: the observer receives the requests."""

from __future__ import annotations

from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import WebhookSettings
from cdc_users.pipeline.declaration import Arguments, TransportDeclaration
from cdc_users.pipeline.prepared import Prepared


def _arguments(_: Prepared, tap: TapPlace) -> Arguments:
    return {"endpoint": tap.webhook_url}


HTTP = TransportDeclaration(
    "http",
    "HTTP",
    tap=lambda _: WebhookSettings(),
    provision=lambda _: {},
    arguments=_arguments,
    named=True,
)
