"""Each fix that is taken out makes its test fail; and each is still where the list says."""

from __future__ import annotations

import pytest

from tests.mutation import MUTATIONS, ROOT, survives
from tests.mutations.mutation import Mutation

NAMES = [mutation.name for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_the_fix_is_where_the_list_says(mutation: Mutation) -> None:
    text = (ROOT / mutation.path).read_text(encoding="utf-8")

    assert mutation.applied(text) != text
    path, _, name = mutation.test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_no_two_mutations_have_one_name() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.soak
@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_a_fix_that_is_taken_out_is_noticed(mutation: Mutation) -> None:
    assert survives(mutation) == ""
