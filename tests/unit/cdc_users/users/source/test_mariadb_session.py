"""A lane's session with MariaDB holds up no other lane, and knows what an error leaves open."""

from __future__ import annotations

import gevent
import locust  # noqa: F401 - its import patches what the driver waits with
import pymysql
import pytest
from gevent import monkey, socket

from cdc_users.users.source.mariadb.session import MariadbSession
from infra.client.access import AccessError

pytestmark = pytest.mark.gevent


def test_lanes_go_on_while_the_server_does_not_answer() -> None:
    """GIVEN a server that accepts and says nothing THEN other greenlets run meanwhile."""
    with socket.socket() as server, gevent.Timeout(60):
        server.bind(("127.0.0.1", 0))
        server.listen()
        session = MariadbSession(f"mysql://nobody@127.0.0.1:{server.getsockname()[1]}/nothing")
        connecting = gevent.spawn(session.ready)
        connection, _ = server.accept()
        with connection:
            gevent.sleep(0)
            under_way = not connecting.ready()

        assert monkey.is_object_patched("socket", "socket")
        assert under_way
        with pytest.raises(session.failures):
            connecting.get()
        session.close()


@pytest.mark.parametrize(
    ("failure", "certain"),
    [
        (pymysql.err.IntegrityError(1062, "Duplicate entry"), True),
        (pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), True),
        (pymysql.err.OperationalError(1053, "Server shutdown in progress"), False),
        (pymysql.err.OperationalError(1180, "Got error during COMMIT"), False),
        (pymysql.err.OperationalError(1317, "Query execution was interrupted"), False),
        (pymysql.err.OperationalError(1927, "Connection was killed"), False),
        (pymysql.err.OperationalError(2013, "Lost connection to server during query"), False),
        (pymysql.err.InterfaceError(0, ""), False),
        (AccessError("the file cannot be read"), True),
    ],
)
def test_only_the_servers_own_refusal_leaves_nothing_behind(
    failure: Exception, certain: bool
) -> None:
    assert MariadbSession("mysql://u@h").rolled_back(failure) is certain
