"""Each error of a catalog means one thing: try again, refuse the table, or end."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg import exceptions as iceberg

from infra.platform.process.error import ConfigError, Remedy, RetryableError
from infra.platform.sinks.iceberg.failure import remedy
from infra.platform.sinks.iceberg.sink import IcebergSink
from tests.unit.infra.platform.sinks.iceberg.test_books import Life


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (iceberg.CommitFailedException("another"), Remedy.RETRY),
        (iceberg.CommitStateUnknownException("502"), Remedy.RETRY),
        (iceberg.ServiceUnavailableError("503"), Remedy.RETRY),
        (iceberg.TooManyRequestsError("429"), Remedy.RETRY),
        (OSError(errno.ENOSPC, "no space"), Remedy.RETRY),
        (ConnectionError("reset"), Remedy.RETRY),
        (iceberg.ForbiddenError("403"), Remedy.END),
        (iceberg.UnauthorizedError("401"), Remedy.END),
        (iceberg.BadRequestError("400"), Remedy.END),
        (iceberg.NotInstalledError("pyiceberg_core"), Remedy.END),
        (PermissionError(errno.EACCES, "denied"), Remedy.END),
        (pa.ArrowInvalid("declared non-nullable but contains nulls"), Remedy.REFUSE_TABLE),
        (RuntimeError("who knows"), Remedy.RETRY),
    ],
)
def test_an_error_is_told_by_its_class(error: Exception, expected: Remedy) -> None:
    assert remedy(error) is expected


def test_what_an_error_was_raised_from_counts_where_it_says_nothing_itself() -> None:
    error = RuntimeError("commit")
    error.__cause__ = iceberg.ForbiddenError("403")

    assert remedy(error) is Remedy.END


class Refusing(IcebergSink):
    """A sink whose catalog gives one answer to every commit."""

    answer: Exception

    def _commit(self, *_: object) -> None:
        raise self.answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (iceberg.ForbiddenError("no right to commit"), ConfigError),
        (iceberg.ServiceUnavailableError("busy"), RetryableError),
    ],
)
async def test_a_commit_that_is_refused_for_good_is_not_tried_again(
    tmp_path: Path, answer: Exception, expected: type[Exception]
) -> None:
    life = Life(tmp_path)
    sink = Refusing(life.properties, "test.rows")
    sink.answer = answer
    await sink.open()
    await sink.positions([("test", 0)])
    with pytest.raises(expected, match=str(answer)):
        await life.write(sink, 1)
    await sink.close()
