"""What keeps a server from being a source: every reason, each with its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.postgres.rights import ServerFacts, login_remedy, source_mistakes

GOOD = ServerFacts(
    version="18.4",
    major=18,
    wal_level="logical",
    replica=False,
    user="bench",
    database="shop",
    reader="debezium",
    replicates=True,
    most_slots=20,
    slots=3,
    creates=True,
    encrypted=True,
)
WRONG: list[tuple[dict[str, object], str, bool]] = [
    ({"major": 13}, "version 14 or newer", True),
    ({"wal_level": "replica"}, "ALTER SYSTEM SET wal_level = logical", True),
    ({"replica": True}, "name its primary", True),
    ({"replicates": False}, "ALTER ROLE debezium REPLICATION", False),
    ({"slots": 20}, "raise max_replication_slots", False),
    ({"creates": False}, "GRANT CREATE ON DATABASE shop TO bench", False),
]


@pytest.mark.parametrize("own", [True, False])
def test_a_good_server_has_nothing_to_mend(own: bool) -> None:
    assert list(source_mistakes(GOOD, own=own)) == []


@pytest.mark.parametrize(("changed", "remedy", "always"), WRONG)
def test_each_reason_has_its_remedy(changed: dict[str, object], remedy: str, always: bool) -> None:
    facts = replace(GOOD, **changed)  # type: ignore[arg-type]

    (told,) = source_mistakes(facts)

    assert remedy in told
    assert bool(list(source_mistakes(facts, own=True))) == always


@pytest.mark.parametrize(("changed", "remedy", "always"), WRONG)
def test_a_role_that_only_writes_needs_a_server_that_takes_rows(
    changed: dict[str, object], remedy: str, always: bool
) -> None:
    facts = replace(GOOD, **changed)  # type: ignore[arg-type]

    needed = always and "wal_level" not in changed
    assert bool(list(source_mistakes(facts, captured=False))) == needed, remedy


@pytest.mark.parametrize(
    ("told", "remedy"),
    [
        ('FATAL:  password authentication failed for user "x"', "check PGPASSWORD"),
        ("SSL error: certificate verify failed", "a certificate that has expired"),
        ("server does not support SSL, but SSL was required", "sslmode=disable"),
        ("connection refused", ""),
    ],
)
def test_a_login_that_is_refused_has_a_remedy(told: str, remedy: str) -> None:
    assert remedy in login_remedy(told)
    assert bool(login_remedy(told)) == bool(remedy)


def test_all_reasons_are_told_together() -> None:
    everything: dict[str, object] = {}
    for changed, _, _ in WRONG:
        everything.update(changed)
    everything["replica"] = False

    assert len(list(source_mistakes(replace(GOOD, **everything)))) == len(WRONG) - 1  # type: ignore[arg-type]
