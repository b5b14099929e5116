"""HTTP to the stack, the platform and the observer.

The environment's proxies (`HTTP_PROXY`, `ALL_PROXY`) are for other servers. A proxy that is asked
for 127.0.0.1 reaches its own machine at best, and reads our secrets at worst.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from infra.client.access import CONNECT_PREFIX, AccessError, HttpAccess, http_access, secret
from infra.validate import is_loopback


class RedirectError(requests.RequestException):
    """A server redirects its client, possibly to a server that was not allowed."""


class UnreadableSecretError(requests.RequestException):
    """A request cannot be made, because its secret cannot be read."""


class Login(AuthBase):
    """Adds a password or a token to each request of a session; the secret is read when it
    is sent.
    """

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self._prefix, self._environ = prefix, environ

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            self._add(request)
        except AccessError as error:
            raise UnreadableSecretError(str(error)) from error
        return request

    def _add(self, request: requests.PreparedRequest) -> None:
        user = self._environ.get(f"{self._prefix}_USER", "")
        if token := secret(self._prefix, "TOKEN", self._environ):
            request.headers["Authorization"] = f"Bearer {token}"
        elif user:
            known = secret(self._prefix, "PASSWORD", self._environ)
            basic = requests.auth.HTTPBasicAuth(user.encode(), known.encode())
            basic(request)


class DirectSession(requests.Session):
    """Requests that end at the server that the URL names.

    The environment's variables with this `prefix` have the login (infra.client.access). On loopback
    nothing else of the environment is used except the trusted certificates: no proxy, and no
    password from `.netrc`. Redirects are not followed unless the caller asks for that.
    """

    def __init__(self, prefix: str = "", environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._environ = environ
        self._access = http_access(prefix, environ) if prefix else HttpAccess()
        if prefix:
            self.auth = Login(prefix, environ)
        if self._access.certificate:
            self.cert = (self._access.certificate, self._access.key or self._access.certificate)

    @override
    def request(  # type: ignore[override]
        self, method: str | bytes, url: str | bytes, *, allow_redirects: bool = False, **given: Any
    ) -> requests.Response:
        """Send one request; raises RedirectError for an answer that leads elsewhere."""
        if self._access.ca:
            # Passed with each request, because the environment's would override the session's own.
            given.setdefault("verify", self._access.ca)
        if is_direct(str(url)):
            self.trust_env = False
            given.setdefault("verify", _certificates(self._environ))
        answer = super().request(method, url, allow_redirects=allow_redirects, **given)
        if answer.is_redirect:
            place = urlsplit(answer.headers["Location"])
            raise RedirectError(
                f"the server redirects to {place.scheme}://{place.netloc.rpartition('@')[2]};"
                " name that address if it is meant",
                response=answer,
            )
        return answer


def is_direct(url: str) -> bool:
    """Whether this URL leads to this machine, so that no proxy may be used."""
    return is_loopback(urlsplit(url).hostname or "")


def _certificates(environ: Mapping[str, str]) -> bool | str:
    return environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True


def reason(error: Exception) -> str:
    """Why a request has failed, without a URL: the cause if known, otherwise the kind of error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS connection: {cause.reason or type(cause).__name__}"
        inner = [cause.__cause__, cause.__context__, *cause.args]
        inner += [getattr(part, "reason", None) for part in cause.args]
        cause = next((part for part in inner if isinstance(part, BaseException)), None)
    return (
        str(error)
        if isinstance(error, UnreadableSecretError | RedirectError)
        else type(error).__name__
    )


def connect_trouble(error: requests.RequestException) -> str:
    """Why Kafka Connect has not answered, with the remedy for problems of TLS."""
    why = reason(error)
    if "TLS" not in why and "certificate" not in why:
        return why
    return (
        f"{why}; name who signed its certificate in {CONNECT_PREFIX}_CA, and what it is shown in"
        f" {CONNECT_PREFIX}_CERTIFICATE"
    )


def request(method: str, url: str, *, timeout: float, **given: Any) -> requests.Response:
    """One request on a connection of its own; raises the errors of `requests`."""
    with DirectSession() as session:
        return session.request(method, url, timeout=timeout, **given)


def ask_connect(
    method: str,
    url: str,
    *,
    timeout: float,
    environ: Mapping[str, str] = os.environ,
    **given: Any,
) -> requests.Response:
    """One request to Kafka Connect, with the login from the environment."""
    with DirectSession(CONNECT_PREFIX, environ) as session:
        return session.request(method, url, timeout=timeout, **given)


def get(url: str, *, timeout: float, **given: Any) -> requests.Response:
    """Read."""
    return request("GET", url, timeout=timeout, **given)


def post(url: str, *, timeout: float, **given: Any) -> requests.Response:
    """Write."""
    return request("POST", url, timeout=timeout, **given)


def delete(url: str, *, timeout: float, **given: Any) -> requests.Response:
    """Remove."""
    return request("DELETE", url, timeout=timeout, **given)
