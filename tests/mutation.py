"""Whether the tests would notice: fixes that are taken out again one by one, each of which makes a
named test fail.

A mutation is a text of a product file that is replaced in a scratch copy of the project. `make
soak` runs all of them (tests/unit/test_mutation.py); `python -m tests.mutation [WORD]` those whose
name has the word. To add one, add an entry to the tuple of its kind.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("infra", "cdc_users", "locustfiles", "tests", "pyproject.toml")
UNIT = "tests/unit/infra"
CONSUME, SINKS = "infra/platform/consume", "infra/platform/sinks"
TEST_S = 300
#: What pytest ends with where tests have failed; any other number is no proof.
FAILED = 1


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fix taken out: in this file, this text (which is there once) for that; and the test that
    must fail then.
    """

    name: str
    path: str
    fix: str
    fault: str
    test: str

    def applied(self, text: str) -> str:
        """The file's text without the fix; raises ValueError where the fix is not there once."""
        if text.count(self.fix) != 1:
            raise ValueError(
                f"{self.name}: {self.path} has {self.fix!r} {text.count(self.fix)} times, not once"
            )
        return text.replace(self.fix, self.fault)


_GAP, _CONSUMER = (
    f"{UNIT}/platform/consume/test_gap.py",
    f"{UNIT}/platform/consume/test_consumer.py",
)
_BUFFER = f"{UNIT}/platform/consume/test_buffer.py"
_BOOKS = f"{UNIT}/platform/sinks/iceberg/test_books.py"
_CAST = f"{UNIT}/platform/sinks/iceberg/test_cast.py"
_ARROW = f"{UNIT}/platform/sinks/iceberg/test_arrow.py"
_SCHEMA = f"{UNIT}/platform/sinks/iceberg/test_schema.py"
_HOOK = f"{UNIT}/platform/sinks/webhook/test_sink.py"
_CONDITION = "tests/unit/cdc_users/pipeline/provision/test_condition.py"
_HOSTILE = f"{UNIT}/avro/test_hostile.py"

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
)
SHAPES = (
    Mutation(
        "K2 an unknown operation passes",
        "infra/avro/row_reader.py",
        '        _check_operations(octets, starts["op"])\n',
        "",
        f"{_HOSTILE}::test_an_operation_that_is_none_of_a_row_is_not_taken_for_another",
    ),
    Mutation(
        "K2 an array is believed what it claims",
        "infra/avro/walk.py",
        "    if count > left:\n",
        "    if count > 2**50:\n",
        f"{_HOSTILE}::test_an_array_of_nothings_cannot_claim_more_than_anybody_means",
    ),
    Mutation(
        "K2 a type that holds itself is followed",
        "infra/avro/walk.py",
        "if id(record) in self._within:",
        "if not self._named:",
        f"{_HOSTILE}::test_a_type_that_holds_itself_is_refused_by_name",
    ),
    Mutation(
        "K3 the first key is taken for all",
        f"{SINKS}/iceberg/piece.py",
        "groupby(self.pieces, lambda piece: piece.key)",
        "groupby(self.pieces, lambda piece: 0)",
        f"{_BOOKS}::test_a_key_that_changes_is_followed_in_order",
    ),
    Mutation(
        "K3 rows without a column of the new key are kept beside it",
        f"{SINKS}/iceberg/upsert.py",
        "    if lacking:\n        raise ConfigError(",
        "    if lacking == key:\n        raise ConfigError(",
        f"{_BOOKS}::test_a_key_of_a_column_that_rows_lack_is_refused_by_name",
    ),
    Mutation(
        "K4 a cast is taken for a check",
        f"{SINKS}/iceberg/cast.py",
        "    if not kept:\n",
        "    if kept is None:\n",
        f"{_CAST}::test_what_would_be_cut_or_mean_something_else_is_refused_by_name",
    ),
    Mutation(
        "K4 a moment loses its zone",
        f"{SINKS}/iceberg/cast.py",
        "if not have_same_meaning(values.type, kind):",
        "if not have_same_meaning(values.type, values.type):",
        f"{_CAST}::test_what_would_be_cut_or_mean_something_else_is_refused_by_name",
    ),
    Mutation(
        "K6 fillers are taken for values",
        f"{SINKS}/iceberg/arrow.py",
        "if key_only.any() and column.name not in key:",
        "if key_only.all() and column.name == 'never':",
        f"{_ARROW}::test_what_the_source_did_not_send_of_a_deleted_row_is_null_and_listed",
    ),
    Mutation(
        "K6 a made-up key is taken for a row's",
        "infra/avro/row.py",
        "found[rows[headless & sent & unsent & possible]] = True",
        "found[rows[headless & sent & unsent & ~possible]] = True",
        "tests/unit/infra/avro/test_filler.py::test_a_key_that_was_not_sent_is_told_from_one_of_zeros",
    ),
    Mutation(
        "K6 an infinite date is one before Christ",
        f"{SINKS}/iceberg/arrow.py",
        "        numbers = _days(numbers)\n",
        "        numbers = numbers + 0\n",
        f"{_ARROW}::test_infinite_dates_stand_at_the_ends",
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
        f"{SINKS}/iceberg/sink.py",
        "            if known.get((topic, number), 0) < offset:\n",
        "            if known.get((topic, number), 0) < -1:\n",
        f"{_BOOKS}::test_a_roll_back_under_a_running_sink_ends_it_by_name",
    ),
)
BOUNDS = (
    Mutation(
        "K7 the buffer has no bound in bytes",
        f"{CONSUME}/buffer.py",
        "queue.depth > enough or queue.bytes >= enough_bytes",
        "queue.depth > enough or queue.bytes < 0",
        f"{_BUFFER}::test_a_partition_whose_share_of_bytes_is_full_is_paused",
    ),
    Mutation(
        "K7 a batch has no bound in bytes",
        f"{CONSUME}/buffer.py",
        "light = self.waiting_bytes <= most_bytes",
        "light = most_bytes > 0",
        f"{_BUFFER}::test_no_more_bytes_are_taken_at_once_than_a_batch_may_have",
    ),
    Mutation(
        "K7 a request has no bound in bytes",
        f"{SINKS}/webhook/sink.py",
        "if whole and len(whole) <= self._request_bytes:",
        "if whole:",
        f"{_HOOK}::test_requests_stay_below_their_bound_at_ten_times_of_it",
    ),
    Mutation(
        "K7 a commit has no bound in events",
        f"{CONSUME}/delivery.py",
        "or self._accepted_events >= times * self._limit.events",
        "or self._accepted_events < 0",
        f"{UNIT}/platform/consume/test_delivery.py::test_a_sink_must_commit_at_so_many_events",
    ),
)
WAITS = (
    Mutation(
        "K8 what keeps failing is not shown",
        "infra/platform/process/retry.py",
        "                    if attempt > 1:\n",
        "                    if attempt < 0:\n",
        f"{_CONSUMER}::test_what_fails_again_and_again_is_shown_while_it_does",
    ),
    Mutation(
        "K9 a retry does not give way",
        f"{CONSUME}/partition_worker.py",
        "            hurry(worker)\n",
        "",
        f"{_CONSUMER}::test_a_write_that_waits_to_be_tried_again_gives_way_to_a_handover_at_once",
    ),
    Mutation(
        "K9 a write that never ends is waited for",
        f"{CONSUME}/partition_worker.py",
        "            timeout=FINISH_S,\n",
        "            timeout=240.0,\n",
        f"{_CONSUMER}::test_a_write_that_never_ends_is_cut_at_a_handover_and_the_consumer_lives_on",
    ),
    Mutation(
        "K9 sockets notice no silence",
        f"{SINKS}/webhook/sink.py",
        "    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n",
        "",
        f"{_HOOK}::test_sockets_notice_a_silent_other_side",
    ),
    Mutation(
        "K11 a request that is too long ends the platform",
        f"{SINKS}/webhook/failure.py",
        "413, 414, 415, 422, 431})",
        "413, 415, 422})",
        f"{_HOOK}::test_an_answer_tells_whether_to_try_again",
    ),
    Mutation(
        "K11 what was taken is posted again",
        f"{SINKS}/webhook/sink.py",
        "            self._taken[batch.place] = offsets[last] + 1\n",
        "",
        f"{_HOOK}::test_what_was_taken_is_not_posted_again_when_a_later_part_fails",
    ),
)
#: Rows of which no event tells.
UNTOLD = (
    Mutation(
        "K6 a default that stands for NULL is a value",
        "infra/avro/filler.py",
        'if len(real) != 1 or field.get("default") is None:',
        "if real:",
        f"{UNIT}/avro/test_filler.py::test_a_default_stands_in_a_column_that_may_be_null_too",
    ),
    Mutation(
        "K4 a column that holds less is gone on with",
        f"{SINKS}/iceberg/schema.py",
        "return bool(coming.scale < known.scale)",
        "return False",
        f"{_SCHEMA}::test_a_column_that_was_rounded_in_the_source_ends_an_upsert_by_name",
    ),
    Mutation(
        "K3 a column of another name is taken for a new one",
        f"{SINKS}/iceberg/schema.py",
        "if old.type == one.type]",
        "if old.type is None]",
        f"{_SCHEMA}::test_a_column_that_may_have_another_name_ends_an_upsert",
    ),
    Mutation(
        "K4 a new column's default is not given to rows that are there",
        f"{SINKS}/iceberg/upsert.py",
        "if not new or table.current_snapshot() is None:",
        "if True:",
        f"{_SCHEMA}::test_rows_have_the_default_of_a_column_that_is_new",
    ),
    Mutation(
        "K8 commits that are refused for ever are in the log alone",
        f"{CONSUME}/consumer.py",
        "            if self._uncommitted:\n",
        "            if False:\n",
        f"{_CONSUMER}::test_offsets_that_kafka_keeps_refusing_are_shown_until_it_takes_them",
    ),
    Mutation(
        "K2 a publication that keeps rows back is not told of",
        "cdc_users/pipeline/provision/condition.py",
        "if what and what != before.kept_back.get(name, what):",
        "if False:",
        f"{_CONDITION}::test_what_is_gone_for_good_is_named",
    ),
)
MUTATIONS = (*POSITIONS, *SHAPES, *BOOKS, *BOUNDS, *WAITS, *UNTOLD)


def survives(mutation: Mutation, root: Path = ROOT) -> str:
    """Run the mutation's test on a copy without its fix; what is wrong, or nothing where it failed
    as it must.
    """
    with tempfile.TemporaryDirectory(prefix="cdc-mutation-") as directory:
        copy = Path(directory)
        for name in COPIED:
            _copied(root / name, copy / name)
        file = copy / mutation.path
        file.write_text(mutation.applied(file.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, mutation.test],
                cwd=copy,
                capture_output=True,
                text=True,
                check=False,
                timeout=TEST_S,
            )
        except subprocess.TimeoutExpired:
            return ""  # without the fix it hangs: that is noticed
    if done.returncode == FAILED:
        return ""
    return f"{mutation.name}: {mutation.test} ended with {done.returncode}: {done.stdout[-2000:]}"


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def main(words: Sequence[str]) -> int:
    """Run the mutations whose name has one of the words, all without any; says what survives."""
    chosen = [each for each in MUTATIONS if not words or any(word in each.name for word in words)]
    found = 0
    for mutation in chosen:
        wrong = survives(mutation)
        print(wrong or f"noticed: {mutation.name}", flush=True)
        found += bool(wrong)
    return 1 if found or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
