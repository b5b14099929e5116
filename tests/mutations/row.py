"""The forms of events, and rows of which no event tells."""

from __future__ import annotations

from tests.mutations.mutation import CONSUME, SINKS, UNIT, Mutation

_BOOKS = f"{UNIT}/platform/sinks/iceberg/test_books.py"
_CAST = f"{UNIT}/platform/sinks/iceberg/test_cast.py"
_ARROW = f"{UNIT}/platform/sinks/iceberg/test_arrow.py"
_SCHEMA = f"{UNIT}/platform/sinks/iceberg/test_schema.py"
_CONDITION = "tests/unit/cdc_users/pipeline/provision/test_condition.py"
_HOSTILE = f"{UNIT}/avro/test_hostile.py"
_CONSUMER = f"{UNIT}/platform/consume/test_consumer.py"
_GIVEN = f"{UNIT}/platform/sinks/iceberg/test_given.py"
_OPERATION = f"{UNIT}/platform/sinks/test_operation.py"

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
    Mutation(
        "K3 keys that only mean the same number are one",
        "infra/platform/wal/meter.py",
        ' and b"%d" % number == key',
        "",
        f"{UNIT}/platform/wal/test_meter.py"
        "::test_texts_that_only_mean_a_number_are_keys_of_their_own",
    ),
    Mutation(
        "K3 a key that is NaN is looked for",
        f"{SINKS}/iceberg/upsert.py",
        "if pa.types.is_floating(values.type) and",
        "if values.type is None and",
        f"{_GIVEN}::test_a_key_that_is_no_number_is_refused_alone",
    ),
    Mutation(
        "K6 a column named as the sink's own is left out",
        f"{SINKS}/iceberg/upsert.py",
        "    refuse_taken_names(batch)\n",
        "",
        f"{_GIVEN}::test_a_column_with_a_name_of_the_sinks_own_is_refused_and_not_left_out",
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
    Mutation(
        "K6 a new row lacks a large value",
        f"{SINKS}/operation.py",
        "if names := unsent.get(row):",
        "if names := unsent.get(-1 - row):",
        f"{_OPERATION}::test_a_new_row_of_which_a_value_was_not_sent_is_refused",
    ),
    Mutation(
        "K6 a row that lacks a large value is not counted",
        f"{SINKS}/iceberg/upsert.py",
        "        elif earlier is None:\n            incomplete",
        "        elif earlier is not None:\n            incomplete",
        f"{_OPERATION}::test_a_row_that_is_inserted_without_what_was_not_sent_is_counted",
    ),
    Mutation(
        "K6 the old row's large value is not taken",
        "infra/platform/wal/serialise/change_avro.py",
        'replace(codec_of(field["type"], position), from_old=True)',
        'replace(codec_of(field["type"], position), from_old=False)',
        f"{UNIT}/platform/wal/serialise/test_change_avro.py"
        "::test_a_value_that_was_not_sent_is_the_old_rows_where_that_is_whole",
    ),
    Mutation(
        "K4 a new column's default is not given to rows of older events",
        f"{SINKS}/iceberg/upsert.py",
        "pa.array([defaults.get(column.name)], column.type)",
        "pa.array([None], column.type)",
        f"{_SCHEMA}::test_rows_of_events_that_lack_a_new_column_have_its_default_or_what_they_had",
    ),
)
