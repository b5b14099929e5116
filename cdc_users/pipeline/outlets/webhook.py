"""Events come out as POST requests to the observer."""

from cdc_users.observe.settings import WebhookSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from infra.client.access import WEBHOOK_PREFIX
from infra.validate import is_port


def _check(place: str) -> None:
    if not is_port(place):
        text = f"webhook:{place}"
        raise ValueError(f"{text!r} names no port from 1 to 65535; write e.g. webhook:8080")


WEBHOOK = OutletDeclaration(
    "webhook",
    "PORT",
    _check,
    tap=lambda _, place: WebhookSettings(port=int(place), guarded=True),
    messages=True,
    prefix=WEBHOOK_PREFIX,
)
