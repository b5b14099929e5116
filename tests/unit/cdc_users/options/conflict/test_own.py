"""What the options of the user's own tables, topics and endpoints need and exclude."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cdc_users.options.conflict import own
from cdc_users.options.conflict.rule import Rule

WAL = {"capture": "wal", "transport": "kinesis", "sink": "counting"}
CONNECT = {"capture": "debezium", "transport": "kafka", "sink": "counting"}


@pytest.mark.parametrize(
    ("rule", "values", "said"),
    [
        (
            own.endpoint_of("kinesis"),
            {"kinesis_endpoint": "http://127.0.0.1:1", "transport": "kafka"},
            "--kinesis-endpoint does nothing with --transport kafka",
        ),
        (
            own.endpoint_of("kinesis"),
            {
                "kinesis_endpoint": "http://far.example:1",
                "transport": "kinesis",
                "allow_target": (),
            },
            "--kinesis-endpoint http://far.example:1 is not on this machine",
        ),
        (
            own.endpoint_of("kinesis"),
            {
                "kinesis_endpoint": "http://far.example:1",
                "transport": "kinesis",
                "allow_target": ("far.example:1",),
            },
            "",
        ),
        (
            own.endpoint_of("pubsub"),
            {"pubsub_endpoint": "127.0.0.1:1", "transport": "pubsub", "allow_target": ()},
            "",
        ),
        (own.not_of_the_direct_reader("topic"), {**WAL, "topic": "t"}, "--topic is not possible"),
        (own.not_of_the_direct_reader("topic"), {**CONNECT, "topic": "t"}, ""),
        (own.not_of_the_direct_reader("topic"), WAL, ""),
        (own.own_stream_is_watched, {**WAL, "sink_tap": "x"}, "--sink-tap is not possible with"),
        (own.own_stream_is_watched, {**CONNECT, "sink_tap": "x"}, ""),
        (
            own.connector_has_table_and_topic,
            {**CONNECT, "connector": "c", "table": "t", "topic": ""},
            "--connector needs --table",
        ),
        (
            own.connector_has_table_and_topic,
            {**CONNECT, "connector": "c", "table": "t", "topic": "u"},
            "",
        ),
        (
            own.connector_has_a_database,
            {**CONNECT, "connector": "c", "source": "topic"},
            "--connector needs --source postgres",
        ),
        (own.table_has_a_database, {**CONNECT, "table": "t", "source": "topic"}, "--table needs"),
        (
            own.table_has_a_database,
            {**CONNECT, "table": "t", "source": "topic", "connector": "c"},
            "",
        ),
        (own.of_own_tables("keep_rows", False), {"keep_rows": True, "table": ""}, "--keep-rows ne"),
        (own.of_own_tables("keep_rows", False), {"keep_rows": False, "table": ""}, ""),
        (own.of_own_tables("keep_rows", False), {"keep_rows": True, "table": "t"}, ""),
        (own.a_topic_for_each_table, {"table": "a,b", "topic": "t"}, "--topic t must name one"),
        (own.a_topic_for_each_table, {"table": "a,b", "topic": "t,u"}, ""),
        (
            own.topic_has_a_connector,
            {**CONNECT, "topic": "t", "connector": "", "source": "postgres"},
            "--topic needs the --connector",
        ),
        (
            own.topic_has_a_connector,
            {**CONNECT, "topic": "t", "connector": "", "source": "topic"},
            "",
        ),
        (
            own.group_of_a_platform_of_yours,
            {**CONNECT, "group": "g", "platform": "reference"},
            "--group is that of a platform that runs already",
        ),
        (own.group_of_a_platform_of_yours, {**CONNECT, "group": "g", "platform": "none"}, ""),
        (
            own.probe_path_is_of_messages,
            {"probe_path": "a.b", "sink_tap": "postgres:public.t"},
            "--probe-path says where messages have the probe; it needs --sink-tap of ",
        ),
        (own.probe_path_is_of_messages, {"probe_path": "a.b", "sink_tap": "webhook:1"}, ""),
        (
            own.none_has_a_sink_tap,
            {**CONNECT, "platform": "none", "sink_tap": ""},
            "--platform none needs --sink-tap",
        ),
        (
            own.none_has_a_sink_tap,
            {**CONNECT, "platform": "reference", "sink_tap": "webhook:1"},
            "--sink-tap needs a platform of yours",
        ),
        (own.none_has_a_sink_tap, {**CONNECT, "platform": "none", "sink_tap": "webhook:1"}, ""),
        (own.none_has_a_sink_tap, {**CONNECT, "platform": "./mine", "sink_tap": ""}, ""),
        (
            own.probe_path_is_of_messages,
            {"probe_path": "a.b", "sink_tap": "webhook:1; postgres:public.t"},
            "--probe-path says where messages have the probe; it needs --sink-tap of ",
        ),
        (
            own.a_place_for_each_table,
            {"table": "a.x,a.y", "tables": 1, "sink_tap": "postgres:c.x,c.y,c.z"},
            "--sink-tap postgres:c.x,c.y,c.z names 3 tables for 2 source tables; name one for",
        ),
        (
            own.a_place_for_each_table,
            {"table": "", "tables": 1, "sink_tap": "iceberg:p.c.x,p.c.y"},
            "--sink-tap iceberg:p.c.x,p.c.y names 2 tables for 1 source table; name one for",
        ),
        (
            own.a_place_for_each_table,
            {"table": "a.x,a.y", "tables": 1, "sink_tap": "postgres-log:c.x,c.y; postgres:c.all"},
            "",
        ),
        (own.a_place_for_each_table, {"table": "a.x", "tables": 1, "sink_tap": "redis:a.,b."}, ""),
    ],
)
def test_what_is_the_users_own_is_whole_or_named_with_its_remedy(
    rule: Rule, values: Mapping[str, object], said: str
) -> None:
    found = rule(values)

    assert len(found) == bool(said)
    assert not said or found[0].startswith(said)
