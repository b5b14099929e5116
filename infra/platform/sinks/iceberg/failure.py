"""The meaning of errors of an Iceberg catalog or of its files: one table, by the error's class.

PyIceberg maps the answers of a REST catalog to classes (its module catalog/rest/response.py):

| reaction | to |
|---|---|
| retry | temporary causes: a concurrent commit, an unknown outcome, 429 and 5xx, no answer |
| refuse the table | every event would fail: values or types that the table does not take |
| end | every table would fail: login, rights, a malformed request, a missing library |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyiceberg import exceptions as iceberg

from infra.platform.process.error import RAISED_AS, PlatformError, Remedy

#: The first class in an error's class hierarchy that is listed here decides; an error in no table
#: is retried until the patience ends.
REMEDIES: Mapping[type[BaseException], Remedy] = {
    iceberg.CommitFailedException: Remedy.RETRY,
    iceberg.CommitStateUnknownException: Remedy.RETRY,
    iceberg.AuthorizationExpiredError: Remedy.RETRY,
    iceberg.ServerError: Remedy.RETRY,
    iceberg.ServiceUnavailableError: Remedy.RETRY,
    iceberg.TooManyRequestsError: Remedy.RETRY,
    iceberg.BadRequestError: Remedy.END,
    iceberg.ForbiddenError: Remedy.END,
    iceberg.UnauthorizedError: Remedy.END,
    iceberg.OAuthError: Remedy.END,
    iceberg.SignError: Remedy.END,
    iceberg.NotInstalledError: Remedy.END,
    iceberg.NoSuchPropertyException: Remedy.END,
    ModuleNotFoundError: Remedy.END,
    PermissionError: Remedy.END,
    iceberg.ValidationError: Remedy.REFUSE_TABLE,
    pa.ArrowTypeError: Remedy.REFUSE_TABLE,
    pa.ArrowInvalid: Remedy.REFUSE_TABLE,
    NotImplementedError: Remedy.REFUSE_TABLE,
}


def remedy(error: BaseException) -> Remedy:
    """The reaction to an error that a commit, or a look at the table, has raised."""
    for each in _causes(error):
        for kind in type(each).__mro__:
            if kind in REMEDIES:
                return REMEDIES[kind]
    return Remedy.RETRY


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    yield error
    while (cause := error.__cause__) is not None:
        yield cause
        error = cause


def translated(error: BaseException, text: str) -> PlatformError:
    """The error class that says what the failure means for the batch; `text` says what failed,
    without secrets.
    """
    return RAISED_AS[remedy(error)](text)
