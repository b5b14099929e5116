"""What keeps a server from being a source: every reason, each with its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.postgres.rights import ServerFacts, source_mistakes

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


def test_all_reasons_are_told_together() -> None:
    everything: dict[str, object] = {}
    for changed, _, _ in WRONG:
        everything.update(changed)
    everything["replica"] = False

    assert len(list(source_mistakes(replace(GOOD, **everything)))) == len(WRONG) - 1  # type: ignore[arg-type]
