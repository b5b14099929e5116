"""The schema registry, asked for schemas by id or subject (Confluent's HTTP interface)."""

from __future__ import annotations

import json
from typing import Any

import requests

from infra.client import http
from infra.platform.process.error import ConfigError, RetryableError, UnreachableError

TIMEOUT_S = 10.0
#: Answers that say nothing about the request; besides them, all from 500 on.
_PASSING = frozenset({408, 425, 429})


class Registry:
    """Fetches schemas; for one thread.

    UnreachableError where it does not answer, ConfigError where it refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = http.DirectSession()

    def check(self) -> None:
        """Ask for anything at all."""
        self._get("/subjects")

    def schema(self, number: int) -> Any | None:
        """The schema with this id;

        None where there is none. Raises RetryableError where it does not answer.
        """
        try:
            return self._schema(f"/schemas/ids/{number}")
        except UnreachableError as error:
            raise RetryableError(str(error)) from error

    def latest(self, subject: str) -> Any | None:
        """A subject's latest schema; None where there is no such subject yet."""
        return self._schema(f"/subjects/{subject}/versions/latest")

    def _schema(self, path: str) -> Any | None:
        answer = self._get(path)
        return (
            None
            if answer.status_code == requests.codes.not_found
            else json.loads(answer.json()["schema"])
        )

    def _get(self, path: str) -> requests.Response:
        try:
            answer = self._session.get(self.url + path, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise UnreachableError(
                f"the schema registry does not answer {self.url}{path} within {TIMEOUT_S:g} s:"
                f" {type(error).__name__}"
            ) from error
        if answer.status_code >= 500 or answer.status_code in _PASSING:
            raise UnreachableError(
                f"the schema registry answers {self.url}{path} with {answer.status_code}"
            )
        if not answer.ok and answer.status_code != requests.codes.not_found:
            raise ConfigError(
                f"the schema registry answers {self.url}{path} with {answer.status_code}; name one"
                " that is read without a login"
            )
        return answer
