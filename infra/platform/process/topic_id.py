"""Whether topics are still the same: a topic that was deleted and recreated has the same name and
another id (KIP-516).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from infra.client.kafka import kafka_settings
from infra.platform.process.error import RetryableError

#: The limit for the broker's answer about topics' ids.
DESCRIBE_S = 10.0
#: How often users of topics check whether these are still the same.
WATCH_S = 5.0


class TopicIds:
    """Asks the broker for topics' ids (KIP-516), with a client of its own; for any thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AdminClient | None = None

    def __call__(self, topics: Sequence[str]) -> dict[str, str]:
        """The id of each topic that exists; "" where the broker gives none.

        Raises RetryableError where it does not answer.
        """
        if self._client is None:
            own = {"log_level": 0, "socket.keepalive.enable": True}
            self._client = AdminClient(kafka_settings(self._bootstrap, own))
        asked = self._client.describe_topics(
            TopicCollection(list(topics)), request_timeout=DESCRIBE_S
        )
        found = {}
        for topic, answer in asked.items():
            try:
                found[topic] = str(answer.result(2 * DESCRIBE_S).topic_id or "")
            except (KafkaException, TimeoutError) as error:
                if not _is_missing(error):
                    raise RetryableError(f"Kafka does not describe {topic!r}: {error}") from error
        return found


def _is_missing(error: Exception) -> bool:
    return (
        isinstance(error, KafkaException)
        and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    )


def changed_topics(known: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What has happened to topics that were recreated or deleted."""
    found = {}
    for topic, number in known.items():
        if topic not in now:
            found[topic] = "the topic was deleted while it was in use"
        elif number and now[topic] and now[topic] != number:
            found[topic] = (
                "the topic was deleted and made again while it was in use (its id was"
                f" {number} and is {now[topic]})"
            )
    return found


class TopicWatch:
    """Finds topics that are no longer the same, look by look. A missing topic may only be moving to
    another broker, so it must be missing twice in a row.
    """

    def __init__(self) -> None:
        self._missing: frozenset[str] = frozenset()

    def changed(self, known: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
        """What has happened to topics with these ids, by what the broker says of them now."""
        found = {
            topic: what
            for topic, what in changed_topics(known, now).items()
            if topic in now or topic in self._missing
        }
        self._missing = frozenset(known) - frozenset(now)
        return found
