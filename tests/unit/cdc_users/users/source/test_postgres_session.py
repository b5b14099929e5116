"""A session whose server was started again between two steps is opened anew for the next."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from cdc_users.users.source.postgres.session import CopySession, PlainSession
from cdc_users.users.source.session import NullSession, Session

pytestmark = pytest.mark.gevent


class Connection:
    """A driver's connection, as far as a look at its end needs one."""

    def __init__(self) -> None:
        self.own, self.server = socket.socketpair()
        self.closed = False

    def fileno(self) -> int:
        return self.own.fileno()

    def close(self) -> None:
        self.closed = True
        self.own.close()


@pytest.mark.parametrize("kind", [PlainSession, CopySession])
def test_a_connection_that_the_server_has_ended_is_known_before_it_is_used(
    kind: type[Session],
) -> None:
    session: Any = kind("", "run00001")  # type: ignore[call-arg]
    assert not session.ended()
    session._connection = connection = Connection()
    assert not session.ended()

    connection.server.close()

    assert session.ended()
    session.close()
    assert not session.ended()


def test_one_that_has_no_connection_does_not_end() -> None:
    assert not NullSession().ended()
