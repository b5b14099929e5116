"""The webhook sink on the platform's command line."""

from __future__ import annotations

import argparse

from infra.platform.process.argument import Argument, missing, one_of, url
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.plugin import SinkPlugin

SHAPES = ("batch", "single")


def _make(options: argparse.Namespace) -> SinkConnector:
    from infra.platform.sinks.webhook.sink import WebhookSink

    return WebhookSink(options.webhook_url, options.webhook_shape)


WEBHOOK = SinkPlugin(
    "webhook",
    make=_make,
    arguments=(
        Argument(
            "--webhook-url", "webhook: where change events are posted; without a login", check=url
        ),
        Argument(
            "--webhook-shape",
            f"webhook: one of {', '.join(SHAPES)}: what a post has",
            default="batch",
            check=one_of(*SHAPES),
        ),
    ),
    mistakes=lambda options, _: missing(options, "--sink webhook", ["--webhook-url"]),
)
