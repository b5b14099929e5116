"""The schema registry, asked for schemas by id or subject (Confluent's HTTP interface)."""

from __future__ import annotations

import json
from typing import Any

import requests

from infra.platform.error import UnreachableError

TIMEOUT_S = 10.0


class Registry:
    """Fetches schemas; for one thread. Raises UnreachableError where it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()

    def check(self) -> None:
        """Ask for anything at all."""
        self._get("/subjects")

    def schema(self, number: int) -> Any:
        """The schema with this id; raises LookupError where there is none."""
        return self._schema(f"/schemas/ids/{number}", f"schema {number}")

    def latest(self, subject: str) -> Any | None:
        """A subject's latest schema; None where there is no such subject yet."""
        try:
            return self._schema(f"/subjects/{subject}/versions/latest", f"subject {subject!r}")
        except LookupError:
            return None

    def _schema(self, path: str, what: str) -> Any:
        answer = self._get(path)
        if answer.status_code == requests.codes.not_found:
            raise LookupError(f"the registry at {self.url} has no {what}")
        return json.loads(answer.json()["schema"])

    def _get(self, path: str) -> requests.Response:
        try:
            answer = self._session.get(self.url + path, timeout=TIMEOUT_S)
            if answer.status_code != requests.codes.not_found:
                answer.raise_for_status()
        except requests.RequestException as error:
            raise UnreachableError(
                f"the schema registry does not answer {self.url}{path} within {TIMEOUT_S:g} s: {_reason(error)}"
            ) from error
        return answer


def _reason(error: requests.RequestException) -> str:
    return str(error) if isinstance(error, requests.HTTPError) else type(error).__name__
