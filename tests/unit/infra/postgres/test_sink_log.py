"""What keeps a sink's log from being read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.postgres.sink_log import WatchedServer, WatchedTable, sink_mistakes

SERVER = WatchedServer("logical", False, True, False, "writer", "copies")
TABLE = WatchedTable(True, "d", True, True)


def mistakes(server: WatchedServer = SERVER, table: WatchedTable | None = TABLE) -> list[str]:
    return list(sink_mistakes("public.copy", server, table))


def test_a_table_with_a_key_and_its_owner_can_be_watched() -> None:
    assert mistakes() == []


@pytest.mark.parametrize(
    ("server", "part"),
    [
        (replace(SERVER, standby=True), "read-only replica"),
        (replace(SERVER, wal_level="replica"), "wal_level of the sink's server is replica"),
        (replace(SERVER, reads_log=False), "role 'writer' may not read the log"),
    ],
)
def test_what_the_server_lacks_is_told_with_a_remedy(server: WatchedServer, part: str) -> None:
    (found,) = mistakes(server)
    assert part in found


def test_a_table_that_is_not_there_is_told_with_its_database() -> None:
    (found,) = mistakes(table=None)
    assert "no table public.copy in database 'copies'" in found


@pytest.mark.parametrize(
    ("identity", "has_key", "identified"),
    [
        ("d", True, True),
        ("d", False, False),
        ("n", True, False),
        ("f", False, True),
        ("i", False, True),
    ],
)
def test_a_published_table_needs_a_replica_identity(
    identity: str, has_key: bool, identified: bool
) -> None:
    table = replace(TABLE, identity=identity, has_key=has_key)
    assert table.identified == identified
    assert bool(mistakes(table=table)) != identified


def test_a_superuser_need_not_own_the_table() -> None:
    foreign = replace(TABLE, may_be_published=False)
    assert mistakes(replace(SERVER, superuser=True), foreign) == []
    assert "may not publish public.copy" in mistakes(table=foreign)[0]


def test_all_that_is_missing_is_told_together() -> None:
    found = mistakes(
        replace(SERVER, standby=True, reads_log=False), replace(TABLE, has_probe=False)
    )
    assert len(found) == 3
