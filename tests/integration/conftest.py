"""The real stack, for the tests of this folder, and a schema of it for one test."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from infra.stack.endpoints import Endpoints
from tests.real_stack import _stack_of_session, results, stack

__all__ = ["_stack_of_session", "results", "stack"]


@pytest.fixture
def schema(stack: Endpoints) -> Iterator[str]:
    """An empty schema, gone after the test."""
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield name
        connection.execute(f"DROP SCHEMA {name} CASCADE")
