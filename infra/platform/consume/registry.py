"""The schema registry, for schemas by id or subject; its errors become the platform's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.client.registry import RegistryRefusedError, RegistrySilentError, SchemaRegistry
from infra.platform.process.error import ConfigError, RetryableError, UnreachableError

#: Stands for a schema of another language (Protobuf): no Avro type has this name.
NO_AVRO = "a schema that is not written in Avro's JSON"
#: The answer of registries for a number that is none of their ids.
_NO_SUCH_ID = frozenset({400, 404, 422})
#: What reading a schema raises that is no Avro: no JSON, no text, or JSON that is nested too deep.
_UNREADABLE = (ValueError, TypeError, RecursionError)


class Registry:
    """Fetches schemas; for one thread.

    Raises UnreachableError if it does not answer, ConfigError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self._client = SchemaRegistry(url)

    def check(self) -> None:
        """Send any request at all."""
        _asked(self._client.check)

    def schema(self, number: int) -> Any | None:
        """The schema with this id; None if there is none. Raises RetryableError if the registry
        does not answer.
        """
        try:
            return self._client.schema(number)
        except RegistrySilentError as error:
            raise RetryableError(str(error)) from error
        except RegistryRefusedError as error:
            if error.status in _NO_SUCH_ID:
                return None
            raise ConfigError(str(error)) from error
        except _UNREADABLE:
            return NO_AVRO

    def latest(self, subject: str) -> Any | None:
        """A subject's latest schema; None if the subject does not exist yet."""
        try:
            return _asked(lambda: self._client.latest(subject))
        except _UNREADABLE:
            return NO_AVRO


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except RegistrySilentError as error:
        raise UnreachableError(str(error)) from error
    except RegistryRefusedError as error:
        raise ConfigError(str(error)) from error
