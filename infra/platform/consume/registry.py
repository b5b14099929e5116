"""The schema registry, asked for schemas by id or subject; its failures as the platform's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.client.registry import RegistryRefusedError, RegistrySilentError, SchemaRegistry
from infra.platform.process.error import ConfigError, RetryableError, UnreachableError

#: What a schema of another language (Protobuf) is here: no Avro type has this name.
NO_AVRO = "a schema that is not written in Avro's JSON"
#: How registries say of a number that it is none of their ids.
_NO_SUCH_ID = frozenset({400, 404, 422})
#: What reading a schema raises that is no Avro: no JSON, no text, or JSON that is nested too deep.
_UNREADABLE = (ValueError, TypeError, RecursionError)


class Registry:
    """Fetches schemas; for one thread.

    UnreachableError where it does not answer, ConfigError where it refuses.
    """

    def __init__(self, url: str) -> None:
        self._client = SchemaRegistry(url)

    def check(self) -> None:
        """Ask for anything at all."""
        _asked(self._client.check)

    def schema(self, number: int) -> Any | None:
        """The schema with this id;

        None where there is none. Raises RetryableError where it does not answer.
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
        """A subject's latest schema; None where there is no such subject yet."""
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
