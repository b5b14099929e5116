"""The webhook sink on the platform's command line."""

from __future__ import annotations

import argparse

from infra.platform.process.argument import Argument, missing, one_of, url, whole
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.plugin import SinkPlugin

SHAPES = ("batch", "single")


def _make(options: argparse.Namespace) -> SinkConnector:
    from infra.platform.sinks.webhook.sink import WebhookSink

    return WebhookSink(
        options.webhook_url,
        options.webhook_shape,
        float(options.webhook_timeout_s),
        int(options.webhook_request_mb) * 1_000_000,
    )


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
        Argument(
            "--webhook-timeout-s",
            "webhook: seconds for a post and its answer",
            default="30",
            check=whole(1),
        ),
        Argument(
            "--webhook-request-mb",
            "webhook: most megabytes of a post, unless one event alone has more",
            default="8",
            check=whole(1),
        ),
    ),
    mistakes=lambda options, _: missing(options, "--sink webhook", ["--webhook-url"]),
)
