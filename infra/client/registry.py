"""The schema registry, by Confluent's HTTP interface: the only client of it in this project.

RegistryError
├── RegistrySilentError    no answer in time, or an answer that says nothing about the request
└── RegistryRefusedError   an answer that a retry would not change; `status` is its HTTP code

Confluent's own client is not used (docs/decisions/schema-registry.md): it sends loopback requests
through the environment's proxies and reads answers of any size.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
import urllib3

from infra.client.access import REGISTRY_PREFIX
from infra.client.http import DirectSession, RedirectError, UnreadableSecretError, reason

#: The limit for reading the whole answer, not only its next byte.
TIMEOUT_S = 10.0
#: A schema of a table with a thousand columns has some 200 kB.
MOST_BYTES = 16_000_000
_CHUNK = 65_536
_OK, _GONE = requests.codes.ok, requests.codes.not_found
#: Status codes that say nothing about the request; besides them, all from 500 on.
_PASSING = frozenset({408, 425, 429})
_MISFIT = frozenset({409, 422})
_NOT_LET_IN = frozenset({401, 403})
_LOGIN = (
    f"; give it a user who may ({REGISTRY_PREFIX}_USER, _PASSWORD_FILE) or a token"
    f" ({REGISTRY_PREFIX}_TOKEN_FILE)"
)

#: The registry's answer: an object of its REST interface, by route.
RegistryAnswer = dict[str, Any]


class RegistryError(Exception):
    """The registry did not do what it was asked for; the message has the place and the answer."""


class RegistrySilentError(RegistryError):
    """No answer, or an answer that says nothing about the request: a retry may help."""


class RegistryRefusedError(RegistryError):
    """The registry refuses the request."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

    @property
    def misfit(self) -> bool:
        """Whether a schema was refused because of its contents."""
        return self.status in _MISFIT


class SchemaRegistry:
    """Reads, registers and removes schemas; for one thread."""

    def __init__(
        self, url: str, timeout_s: float = TIMEOUT_S, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = DirectSession(REGISTRY_PREFIX, environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def check(self) -> None:
        """Send any request at all."""
        self._ask("GET", "/subjects")

    def schema(self, number: int) -> Any | None:
        """The schema with this id; None where there is none."""
        return _schema(self._ask("GET", f"/schemas/ids/{number}", fine=(_GONE,)))

    def latest(self, subject: str) -> Any | None:
        """A subject's latest schema; None where there is no such subject yet."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest"
        return _schema(self._ask("GET", path, fine=(_GONE,)))

    def fits(self, subject: str, schema: Any) -> bool:
        """Whether the subject's rules allow this schema; true if there is no subject or no rule."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest"
        try:
            answer = self._ask("POST", path, _body(schema))
        except RegistryRefusedError:
            return True  # no subject, no rule, or no such route: registering will show
        return bool(answer.get("is_compatible", True))

    def register(self, subject: str, schema: Any) -> int:
        """Register a schema, or find it registered; returns its id."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        return int(self._ask("POST", path, _body(schema))["id"])

    def delete(self, subject: str) -> None:
        """Remove a subject; it may be gone already."""
        self._ask("DELETE", f"/subjects/{quote(subject, safe='')}", fine=(_GONE,))

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (),
    ) -> RegistryAnswer:
        """One request; an answer that is not an object, such as a list, becomes an empty one."""
        where = f"{self.url}{path}"
        try:
            status, content = self._read(method, where, body)
        except (RedirectError, UnreadableSecretError) as error:
            raise RegistryRefusedError(f"the schema registry at {where}: {error}", 302) from error
        except requests.exceptions.SSLError as error:
            raise RegistryRefusedError(
                f"the schema registry at {where}: {reason(error)}; name the authority that signed"
                f" it in {REGISTRY_PREFIX}_CA",
                0,
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise RegistrySilentError(
                f"the schema registry does not answer {where} within {self._timeout_s:g} s:"
                f" {type(error).__name__}"
            ) from error
        if status >= 500 or status in _PASSING:
            raise RegistrySilentError(f"the schema registry answers {where} with {status}")
        parsed = _parsed(content, where, status)
        if status not in (_OK, *fine):
            message = str(parsed.get("message", ""))[:500]
            remedy = _LOGIN if status in _NOT_LET_IN else ""
            raise RegistryRefusedError(
                f"the schema registry answers {where} with {status}"
                f"{f' ({message})' if message else ''}{remedy}",
                status,
            )
        return parsed if status == _OK else {}

    def _read(self, method: str, where: str, body: Mapping[str, str] | None) -> tuple[int, bytes]:
        ends_s = time.monotonic() + self._timeout_s
        with self._session.request(
            method, where, json=body, timeout=self._timeout_s, stream=True
        ) as answer:
            content = bytearray()
            # `iter_content` would wait for a whole chunk, and each byte would renew its timeout.
            while part := answer.raw.read1(_CHUNK, decode_content=True):
                content += part
                if len(content) > MOST_BYTES:
                    raise RegistryRefusedError(
                        f"the schema registry answers {where} with more than {MOST_BYTES:,} bytes",
                        answer.status_code,
                    )
                if time.monotonic() > ends_s:
                    raise requests.Timeout
            return answer.status_code, bytes(content)


def _schema(answer: RegistryAnswer) -> Any | None:
    return json.loads(answer["schema"]) if "schema" in answer else None


def _body(schema: Any) -> Mapping[str, str]:
    return {"schemaType": "AVRO", "schema": json.dumps(schema)}


def _parsed(content: bytes, where: str, status: int) -> RegistryAnswer:
    try:
        parsed = json.loads(content) if content else {}
    except (ValueError, RecursionError) as error:
        if status != _OK:
            return {}  # a proxy or a login page may refuse in any format
        raise RegistryRefusedError(
            f"the schema registry answers {where} with something that is no JSON", status
        ) from error
    return parsed if isinstance(parsed, dict) else {}
