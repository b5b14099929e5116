"""What a lane needs of the source: a connection that carries out transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import gevent
from typing_extensions import override

from cdc_users.users.statement import Statement


class Session(Protocol):
    """An autocommit connection, opened when needed and opened again after it broke.

    For one greenlet; other greenlets go on while it waits. `failures` are the driver's errors.
    """

    failures: tuple[type[Exception], ...]

    def ready(self) -> None:
        """Connect if there is no usable connection; raises the driver's error."""

    def carry_out(self, statements: Sequence[Statement]) -> None:
        """Carry out the statements as one transaction, which has committed when this returns.

        Raises the driver's error; the transaction may then have committed, unless `rolled_back`.
        """

    def rolled_back(self, failure: Exception) -> bool:
        """Whether a failed transaction certainly left nothing behind: the server itself has refused
        it. After an error of the connection COMMIT may have been carried out.
        """

    def ended(self) -> bool:
        """Whether the server has ended the connection since it was used; False where that cannot be
        seen without a request.
        """
        return False

    def close(self) -> None:
        """Close the connection."""


class NullSession(Session):
    """Carries out nothing, which leaves only the harness's own work for a transaction."""

    failures = ()

    @override
    def ready(self) -> None:
        pass

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        gevent.sleep(0)  # a driver that waits for its answer also lets all lanes have their turn

    @override
    def rolled_back(self, failure: Exception) -> bool:
        return True

    @override
    def close(self) -> None:
        pass
