"""Names are quoted as in standard SQL."""

from __future__ import annotations

from infra.client.sql import quoted_name


def test_a_name_with_quotes_stays_one_name() -> None:
    assert quoted_name("s", 'odd "name"') == '"s"."odd ""name"""'
