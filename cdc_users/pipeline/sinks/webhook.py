"""The webhook sink; its receiver is the observer's tap."""

from cdc_users.observe.settings import WebhookSettings
from cdc_users.pipeline.declaration import SinkDeclaration

WEBHOOK = SinkDeclaration(
    "webhook",
    arguments=lambda _, tap: {"webhook-url": tap.webhook_url},
    tap=lambda _: WebhookSettings(),
)
