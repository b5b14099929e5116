"""A Locust process with one Kafka user that fills a topic: prints how many records a second it
made.

    python -m tests.benchmark.producer_process CHANNEL_JSON BOOTSTRAP RECORDS

For producer_comparison; nothing else runs beside it, neither platform nor observer.
"""

from __future__ import annotations

import json
import sys

import locust  # first: it patches the standard library
from locust.env import Environment

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.measure.wire import decode
from cdc_users.users.kafka import KafkaUser
from cdc_users.users.lane import Assignment, Share
from cdc_users.users.producer.topic_schemas import Channel
from cdc_users.users.target import TopicTarget
from cdc_users.users.workload.workload import writer_number


class Filler(KafkaUser):
    """Writes inserts."""

    abstract = True


def share_of(channel: Channel, bootstrap: str, records: int) -> Share:
    """The step: so many records as fast as they go."""
    anchor = new_anchor()
    assignment = Assignment(
        run="abcd1234",
        step=1,
        t0_us=anchor.now_us(),
        schedule=Schedule.volume(records),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=1,
        anchor=anchor,
        target=TopicTarget(bootstrap=bootstrap, schema_registry_url="", channels=(channel,)),
    )
    return Share(assignment, anchor)


def main() -> None:
    """Fill the topic, and check that every record was acknowledged and its acknowledgement
    timed.
    """
    channel, bootstrap, records = (
        decode(sys.argv[1], Channel, "the comparison"),
        sys.argv[2],
        int(sys.argv[3]),
    )
    share = share_of(channel, bootstrap, records)
    Filler(Environment())._run_step(share)
    share.report()
    assert share.ranges[writer_number(1, 0)].runs == {"acked": [[1, records]]}
    assert share.recorder.histogram("ack").count == records
    # All arrivals of a volume are intended at its start, so the slowest response is the whole time.
    print(
        json.dumps(
            {
                "locust": locust.__version__,
                "per_s": records / share.recorder.histogram("response").max_us * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
