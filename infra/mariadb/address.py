"""Where a MariaDB is and who logs in, as a URL without a secret, and a connection to it.

`mysql://USER@HOST:PORT/DATABASE?password_file=PATH&ca=PATH`. The password is in the file, or in
CDC_MARIADB_PASSWORD, or in the file that CDC_MARIADB_PASSWORD_FILE names. With `ca` the server must
show a certificate for HOST that an authority in that file has signed; without it a connection is
encrypted where the server can, and nobody is checked (PyMySQL's default).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pymysql
from pymysql.constants import ER

from infra.client.access import AccessError, secret
from infra.validate import bracketed, is_url

PREFIX = "CDC_MARIADB"
URL = f"{PREFIX}_URL"
SCHEMES = ("mysql", "mariadb")
FORM = "mysql://USER@HOST:PORT"
PORT = 3306
TIMEOUT_S = 10
#: The errors of a connection.
FAILURES = (pymysql.Error, AccessError)
#: The server's numbers for a login that it does not let in.
_DENIED = (1044, 1045, 1698)
#: The client's own errors begin here; below are the server's (MariaDB documentation, "Error
#: Codes").
_OF_CLIENT = 2000
#: The server's words for a connection that ends or is not let in, or for a COMMIT that did not come
#: to an end.
_UNDECIDED = frozenset(
    (
        *_DENIED,
        ER.CON_COUNT_ERROR,
        ER.SERVER_SHUTDOWN,
        ER.ERROR_DURING_COMMIT,
        ER.QUERY_INTERRUPTED,
        1927,
    )
)
_FILE, _CA = "password_file", "ca"
#: What PyMySQL says of TLS that does not come about, and what to do about it.
_OF_TLS = {
    "CERTIFICATE_VERIFY_FAILED": "name the authority that signed the server's certificate as ca,"
    " and the host as that certificate does",
    "SSL is required": "give the server a certificate (ssl_cert, ssl_key), or leave ca out",
}
_NO_PEM = "has no certificates that can be read; name a file that has (PEM)"
#: Names and texts are quoted as in standard SQL, and nothing is cut or made to fit.
_SESSION = (
    "SET time_zone = '+00:00',"
    " sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
)


@dataclass(frozen=True, slots=True)
class MariadbAddress:
    """A server, its user, the file with the password (empty: the environment has it), a database
    (empty: none), and the file with the authorities that sign its certificate (empty: unchecked).
    """

    host: str
    port: int
    user: str
    password_file: str = ""
    database: str = ""
    ca: str = ""

    @classmethod
    def of(cls, url: str) -> MariadbAddress:
        """The parts of a URL without mistakes."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        return cls(
            host=parts.hostname or "",
            port=parts.port or PORT,
            user=unquote(parts.username or ""),
            password_file=query.get(_FILE, ""),
            database=unquote(parts.path.strip("/")),
            ca=query.get(_CA, ""),
        )

    @property
    def url(self) -> str:
        """The same as a URL."""
        files = {_FILE: self.password_file, _CA: self.ca}
        query = urlencode({name: path for name, path in files.items() if path})
        place = f"{bracketed(self.host)}:{self.port}/{quote(self.database)}"
        return f"mysql://{quote(self.user)}@{place}{'?' * bool(query)}{query}"

    def password(self, environ: Mapping[str, str]) -> str:
        """The password; empty if none is given. Raises AccessError for a file that cannot be
        read.
        """
        if not self.password_file:
            return secret(PREFIX, "PASSWORD", environ)
        try:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise AccessError(
                f"password_file={self.password_file} cannot be read; name a file that can"
            ) from error

    def tls(self) -> ssl.SSLContext | None:
        """How the server is checked; None if it is not. Raises AccessError for a file without
        certificates.
        """
        if not self.ca:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise AccessError(f"ca={self.ca} {_NO_PEM}") from error


def address_mistakes(url: str) -> Iterator[str]:
    """Mistakes in a URL, each a clause to follow the URL's name; they do not repeat it."""
    if not is_url(url, SCHEMES):
        yield f"is no address of MariaDB; write {FORM}"
        return
    parts = urlsplit(url)
    if parts.password is not None:
        yield (
            f"holds a password, which every process could read; put it into {PREFIX}_PASSWORD, or"
            " name its file as password_file"
        )
    if not parts.username:
        yield f"names no user; write {FORM}"
    known = {_FILE, _CA}
    if unknown := sorted(set(dict(parse_qsl(parts.query, keep_blank_values=True))) - known):
        yield f"has {', '.join(unknown)} behind the question mark, which is not known; leave it out"
    try:
        MariadbAddress.of(url).tls()
    except AccessError as error:
        yield f"names a file that cannot be used: {error}"


def with_access_files(url: str, *, password_file: str = "", ca: str = "") -> str:
    """The URL with the files of its password and of its authorities, where they are given; one
    with mistakes stays as it is.
    """
    if not (password_file or ca) or any(address_mistakes(url)):
        return url
    place = MariadbAddress.of(url)
    password = password_file or place.password_file
    return replace(place, password_file=password, ca=ca or place.ca).url


def connect_to(url: str, environ: Mapping[str, str] = os.environ, **more: Any) -> Any:
    """A connection in autocommit mode.

    Raises pymysql.Error, and AccessError for a file that cannot be read.
    """
    place = MariadbAddress.of(url)
    return pymysql.connect(
        host=place.host,
        port=place.port,
        user=place.user,
        password=place.password(environ),
        database=place.database or None,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=TIMEOUT_S,
        init_command=_SESSION,
        ssl=place.tls(),
        **more,
    )


def at_database(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return replace(MariadbAddress.of(url), database=database).url


def refused(error: Exception) -> bool:
    """Whether the server itself has refused a statement, which then had no effect."""
    number = error.args[0] if error.args else 0
    return isinstance(number, int) and 0 < number < _OF_CLIENT and number not in _UNDECIDED


def reason(error: Exception) -> str:
    """An error's own words, with the remedy of a login that failed."""
    number, *words = error.args if len(error.args) > 1 else (0, str(error))
    text = " ".join(map(str, words)).strip() or type(error).__name__
    if number in _DENIED:
        return f"{text}; check the user, and {PREFIX}_PASSWORD or password_file"
    remedies = (remedy for said, remedy in _OF_TLS.items() if said in text)
    return "; ".join((text, *remedies))
