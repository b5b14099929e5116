"""What PostgreSQL's errors mean: one table, whatever class psycopg makes of them."""

from __future__ import annotations

import pytest

from infra.platform.process.error import Remedy
from infra.platform.sinks.postgres.failure import remedy


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("40P01", Remedy.RETRY),  # deadlock
        ("40001", Remedy.RETRY),  # serialization failure
        ("55P03", Remedy.RETRY),  # lock timeout
        ("57014", Remedy.RETRY),  # statement timeout
        ("25006", Remedy.RETRY),  # read only
        ("57P01", Remedy.RETRY),  # admin shutdown
        ("57P03", Remedy.RETRY),  # starting up
        ("53100", Remedy.RETRY),  # disk full
        ("53200", Remedy.RETRY),  # out of memory
        ("53300", Remedy.RETRY),  # too many connections
        ("08006", Remedy.RETRY),
        ("P0001", Remedy.REFUSE_EVENT),  # a trigger that raises
        ("54000", Remedy.REFUSE_EVENT),  # an index entry of more than 8 kB
        ("21000", Remedy.REFUSE_EVENT),  # two keys that are one for the target
        ("22001", Remedy.REFUSE_EVENT),
        ("22P02", Remedy.REFUSE_EVENT),
        ("23502", Remedy.REFUSE_EVENT),
        ("23503", Remedy.REFUSE_EVENT),
        ("23505", Remedy.REFUSE_EVENT),
        ("23514", Remedy.REFUSE_EVENT),
        ("44000", Remedy.REFUSE_EVENT),
        ("U0001", Remedy.REFUSE_EVENT),  # what only the target's own functions give
        ("42P01", Remedy.REFUSE_TABLE),
        ("42703", Remedy.REFUSE_TABLE),
        ("42501", Remedy.REFUSE_TABLE),
        ("428C9", Remedy.REFUSE_TABLE),
        ("3F000", Remedy.REFUSE_TABLE),
        ("0A000", Remedy.REFUSE_TABLE),
        ("28P01", Remedy.END),
        ("3D000", Remedy.END),
        ("XX001", Remedy.END),
    ],
)
def test_each_sqlstate_has_its_remedy(sqlstate: str, expected: Remedy) -> None:
    assert remedy(sqlstate) is expected


def test_what_a_trigger_raises_is_about_its_row_whatever_the_code() -> None:
    assert remedy("42501", "exec_stmt_raise") is Remedy.REFUSE_EVENT
    assert remedy("42501", "ExecWithCheckOptions") is Remedy.REFUSE_EVENT
    assert remedy("40001", "exec_stmt_raise") is Remedy.RETRY
