"""What a MariaDB lacks as a source is told with the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.mariadb.rights import OF_A_RUN, MariadbFacts, mariadb_mistakes

GOOD = MariadbFacts(
    version="11.4.5",
    user="bench@%",
    log_bin=True,
    binlog_format="ROW",
    row_image="FULL",
    read_only=False,
    server_id=1,
    rights=frozenset(("REPLICATION SLAVE", "BINLOG MONITOR")),
    of_runs=frozenset(OF_A_RUN),
)


def test_a_server_as_it_should_be_has_no_mistake() -> None:
    assert list(mariadb_mistakes(GOOD)) == []


def test_the_rights_older_name_is_the_same_right() -> None:
    older = replace(GOOD, rights=frozenset(("REPLICATION SLAVE", "REPLICATION CLIENT")))

    assert list(mariadb_mistakes(older)) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": "10.4.1"}, "MariaDB 10.4.1 is too old; 10.5 or newer is needed"),
        ({"log_bin": False}, "log_bin is OFF: there is no log to read; set log_bin in my.cnf and"),
        ({"binlog_format": "MIXED"}, "run SET GLOBAL binlog_format = 'ROW'"),
        ({"row_image": "MINIMAL"}, "run SET GLOBAL binlog_row_image = 'FULL'"),
        ({"read_only": True}, "the server is read_only"),
        ({"server_id": 0}, "server_id is 0"),
        (
            {"rights": frozenset(("REPLICATION SLAVE",))},
            "run GRANT BINLOG MONITOR ON *.* TO 'bench'@'%'",
        ),
        (
            {"of_runs": frozenset(OF_A_RUN) - {"CREATE", "DROP"}},
            r"run GRANT CREATE, DROP ON `cdc\_%`.* TO 'bench'@'%'",
        ),
    ],
)
def test_a_mistake_has_its_remedy(changed: dict[str, Any], told: str) -> None:
    (found,) = mariadb_mistakes(replace(GOOD, **changed))

    assert told in found
