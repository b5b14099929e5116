"""The JSON schema of a pipeline file says what the reader says."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import jsonschema
import pytest

from infra.client.environment import ROOT
from infra.stack.pipeline_file.section import editor_schema


def example() -> dict[str, Any]:
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return tomllib.loads(found[1])


def test_the_schema_takes_the_pages_example() -> None:
    jsonschema.Draft202012Validator.check_schema(editor_schema())
    jsonschema.validate(example(), editor_schema())


@pytest.mark.parametrize(
    "wrong",
    [{"sourcee": {}}, {"source": {}}, {"source": {"dsn": 5}}, {"kafka": {"bootstrap": ""}}],
)
def test_the_schema_refuses_what_the_reader_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, editor_schema())
