"""Streams and topics of Kinesis and Pub/Sub, emulated or real: clients, creation and removal.

Who makes them is the harness or a test, for one run; the platform only writes to them. The client
libraries are the extra `cloud` and are imported where they are used.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from infra.client.cloud import kinesis, pubsub_channel
from infra.stack.error import StackError

KINESIS_VARIABLE = "AWS_ENDPOINT_URL_KINESIS"
PUBSUB_VARIABLE = "PUBSUB_EMULATOR_HOST"
PROJECT_VARIABLE = "PUBSUB_PROJECT_ID"
#: The Pub/Sub project of the emulator, which takes any.
EMULATED_PROJECT = "locust-cdc"
ACTIVE_S = 30.0
POLL_S = 0.05


def project(environ: Mapping[str, str]) -> str:
    """The Pub/Sub project: the one that the environment names, else the emulator's."""
    return environ.get(PROJECT_VARIABLE) or EMULATED_PROJECT


def kinesis_client(endpoint: str) -> Any:
    """A client of the Kinesis at a URL; without credentials in the environment it uses made-up
    ones (an emulator).
    """
    return kinesis(endpoint, connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})


def probe_kinesis(endpoint: str) -> None:
    """List streams; raises what the client raises."""
    kinesis_client(endpoint).list_streams(Limit=1)


def create_stream(endpoint: str, name: str, shards: int) -> None:
    """Create a Kinesis stream and wait until it takes records."""
    client = kinesis_client(endpoint)
    client.create_stream(StreamName=name, ShardCount=shards)
    deadline_s = time.monotonic() + ACTIVE_S
    while (
        client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]
        != "ACTIVE"
    ):
        if time.monotonic() > deadline_s:
            raise StackError(f"Kinesis stream {name!r} is not active after {ACTIVE_S:g} s")
        time.sleep(POLL_S)


def delete_stream(endpoint: str, name: str) -> None:
    """Delete a Kinesis stream; none there is fine."""
    client = kinesis_client(endpoint)
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.delete_stream(StreamName=name)


def _publisher(host: str) -> Any:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    return (
        PublisherClient(transport=PublisherGrpcTransport(channel=pubsub_channel(host)))
        if host
        else PublisherClient()
    )


def subscriber(host: str) -> Any:
    """A low-level subscriber client of the emulator at HOST:PORT, or of the real service where
    that is empty.
    """
    from google.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    return (
        SubscriberClient(transport=SubscriberGrpcTransport(channel=pubsub_channel(host)))
        if host
        else SubscriberClient()
    )


def probe_pubsub(host: str) -> None:
    """List topics; raises what the client raises."""
    with _publisher(host) as client:
        list(client.list_topics(project=f"projects/{EMULATED_PROJECT}", timeout=2.0))


def create_topic(host: str, project: str, topic: str, subscription: str) -> None:
    """Create a Pub/Sub topic and a subscription with ordering; only what is published afterwards
    is received.
    """
    path = f"projects/{project}/topics/{topic}"
    with _publisher(host) as client:
        client.create_topic(name=path)
    with subscriber(host) as client:
        client.create_subscription(
            request={
                "name": f"projects/{project}/subscriptions/{subscription}",
                "topic": path,
                "enable_message_ordering": True,
                "ack_deadline_seconds": 60,
            }
        )


def delete_topic(host: str, project: str, topic: str, subscription: str) -> None:
    """Delete the topic and the subscription; none there is fine."""
    from google.api_core.exceptions import NotFound

    with subscriber(host) as client, contextlib.suppress(NotFound):
        client.delete_subscription(subscription=f"projects/{project}/subscriptions/{subscription}")
    with _publisher(host) as client, contextlib.suppress(NotFound):
        client.delete_topic(topic=f"projects/{project}/topics/{topic}")
