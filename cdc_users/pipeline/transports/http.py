"""HTTP: the observer is the receiver."""

from __future__ import annotations

from collections.abc import Mapping

from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import WebhookSettings
from cdc_users.pipeline.declaration import Arguments, TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from cdc_users.pipeline.provision.ground import Ground


def _arguments(_: Prepared, tap: TapPlace) -> Arguments:
    return {"endpoint": tap.webhook_url}


def _nothing(_: Ground) -> Mapping[str, str]:
    return {}


HTTP = TransportDeclaration(
    "http",
    "HTTP",
    tap=lambda _: WebhookSettings(),
    provision=_nothing,
    arguments=_arguments,
    named=True,
)
