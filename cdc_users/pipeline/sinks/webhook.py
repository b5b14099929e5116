"""The webhook sink; its receiver is the observer's tap."""

from cdc_users.pipeline.declaration import SinkDeclaration

WEBHOOK = SinkDeclaration(
    "webhook",
    arguments=lambda _, tap: {"webhook-url": tap.get("webhook_url", "")},
    tap=lambda _: {"kind": "webhook", "port": 0},
)
