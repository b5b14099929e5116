"""Positions, lives of topics and sources, and the books of a table."""

from __future__ import annotations

from tests.mutations.mutation import CONSUME, SINKS, UNIT, Mutation

_BOOKS = f"{UNIT}/platform/sinks/iceberg/test_books.py"
_CONDITION = "tests/unit/cdc_users/pipeline/provision/test_condition.py"
_GAP = f"{UNIT}/platform/consume/test_gap.py"
_CONSUMER = f"{UNIT}/platform/consume/test_consumer.py"

POSITIONS = (
    Mutation(
        "K1 retention is not looked at",
        f"{CONSUME}/gap.py",
        "if offset < span.low:",
        "if offset < 0:",
        f"{_GAP}::test_what_is_lost_before_the_beginning_is_named_with_offsets_and_count",
    ),
    Mutation(
        "K1 a topic made again is not looked at",
        f"{CONSUME}/gap.py",
        "note.topic_id != span.topic_id:",
        "note.topic_id == 'never':",
        f"{_GAP}::test_what_is_lost_before_the_beginning_is_named_with_offsets_and_count",
    ),
    Mutation(
        "K1 a topic made again while it is read goes on",
        "infra/platform/process/topic_id.py",
        "elif number and now[topic] and now[topic] != number:",
        "elif number and now[topic] == 'never':",
        f"{_GAP}::test_a_topic_that_becomes_another_while_it_is_read_stops",
    ),
    Mutation(
        "K1 a gap is gone over in silence",
        f"{CONSUME}/gap_log.py",
        "        if self._skip:\n",
        "        if True:\n",
        f"{_GAP}::test_a_gap_stops_its_partition_and_is_in_the_errors",
    ),
    Mutation(
        "K1 a tool's offset is believed over the sink's books",
        f"{CONSUME}/gap.py",
        "if own is not None and note is None:",
        "if own is not None and note is not None:",
        f"{_GAP}::test_a_partition_begins_where_nothing_is_missing",
    ),
    Mutation(
        "K1 a topic made again under the direct reader goes on",
        "infra/platform/process/topic_id.py",
        "if topic in now or topic in self._missing",
        "if topic in self._missing",
        f"{UNIT}/platform/transports/test_publisher.py"
        "::test_a_topic_that_becomes_another_one_is_told",
    ),
    Mutation(
        "K1 a source on another cluster is taken for the same",
        "cdc_users/pipeline/provision/condition.py",
        "now.cluster and before.cluster != now.cluster:",
        "now.cluster and before.cluster == 'never':",
        f"{_CONDITION}::test_what_is_gone_for_good_is_named",
    ),
    Mutation(
        "K2 a table made again under its name is taken for the same",
        "cdc_users/pipeline/provision/condition.py",
        "        if table.oid != earlier.oid:\n",
        "        if table.oid == 0:\n",
        f"{_CONDITION}::test_what_a_third_party_does_to_the_source_is_named",
    ),
    Mutation(
        "K2 a table made again is read on by the direct reader",
        "infra/platform/wal/replication/requirement.py",
        "        if oid not in exists:\n",
        "        if oid not in exists and full == 'never':\n",
        f"{UNIT}/platform/wal/replication/test_requirement.py"
        "::test_what_is_no_longer_published_is_named",
    ),
    Mutation(
        "K2 a publication that keeps operations back is not looked at",
        "cdc_users/pipeline/provision/condition.py",
        "(left := before.operations - now.operations)",
        "(left := now.operations - before.operations)",
        f"{_CONDITION}::test_what_is_gone_for_good_is_named",
    ),
    Mutation(
        "K1 the books of an earlier topic are taken for this one's",
        f"{SINKS}/iceberg/sink.py",
        "if known and number and known != number:",
        "if known and number and known == number + 'never':",
        f"{_BOOKS}::test_the_positions_of_an_earlier_topic_of_the_same_name_are_refused",
    ),
    Mutation(
        "K1 a late write moves the position of another topic",
        f"{CONSUME}/position.py",
        "        if place not in self._begun:\n            return\n",
        "",
        f"{_GAP}::test_a_write_that_ends_after_its_topic_was_made_again_commits_nothing_of_it",
    ),
    Mutation(
        "K1 a foreign note of odd numbers ends the consumer",
        f"{CONSUME}/gap.py",
        "KeyError, OverflowError, RecursionError)",
        "KeyError)",
        f"{_GAP}::test_what_others_commit_has_no_note",
    ),
    Mutation(
        "K2 rows that a publication keeps back are not looked at",
        "infra/platform/wal/replication/requirement.py",
        "if now.filter and now.filter != before.filter:",
        "if now.filter and now.filter == before.filter:",
        f"{UNIT}/platform/wal/replication/test_requirement.py"
        "::test_rows_and_columns_that_are_no_longer_published_are_named",
    ),
    Mutation(
        "K1 a commit that waited for a handover is an older one",
        f"{CONSUME}/consumer.py",
        "await self._loop.run_in_executor(self._poll_thread, self._commit_fresh)",
        "self.delivery.positions.fresh(list(self.buffer.queues))\n"
        "            given = self._offsets(fresh)\n"
        "            await self._loop.run_in_executor(\n"
        "                self._poll_thread,\n"
        "                lambda: self._reader.client.commit(offsets=given, asynchronous=False),\n"
        "            )",
        f"{_CONSUMER}::test_a_commit_that_waited_for_a_handover_does_not_put_older_offsets_over_its",
    ),
)
BOOKS = (
    Mutation(
        "K5 the books are in the snapshots alone",
        f"{SINKS}/iceberg/books.py",
        "    if OFFSETS_TAG in kept:\n",
        "    if OFFSETS_TAG == kept:\n",
        f"{_BOOKS}::test_positions_outlive_maintenance_so_that_nothing_is_written_twice",
    ),
    Mutation(
        "K5 a roll-back is not seen",
        f"{SINKS}/iceberg/books.py",
        "        if sequence and (oldest.sequence_number or 0) <= sequence:\n",
        "        if sequence < 0:\n",
        f"{_BOOKS}::test_a_table_that_was_rolled_back_is_known_by_what_it_has",
    ),
    Mutation(
        "K5 a table that goes back under the sink is written on",
        f"{SINKS}/iceberg/books.py",
        "        if known.offsets.get((topic, number), 0) < offset:\n",
        "        if known.offsets.get((topic, number), 0) < -1:\n",
        f"{_BOOKS}::test_a_roll_back_under_a_running_sink_ends_it_by_name",
    ),
)
