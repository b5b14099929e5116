"""Shows addresses and a catalog's properties without secrets: no login, and no path or query, which
may contain tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.validate import is_url

HIDDEN = "***"
#: Shorter values are not treated as secrets, because hiding them would hide most of the text.
_SECRET_LENGTH = 4
_HARMLESS = frozenset({"type", "warehouse"})


def shown(url: str) -> str:
    """Scheme, host and port; for SQLite, which has no host, the file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if not parts.scheme or "@" in parts.path + parts.query + parts.fragment:
        return (
            HIDDEN  # a slash in a password would make the password's beginning look like the host
        )
    if parts.netloc:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return (
        f"{parts.scheme}://{parts.path}" if parts.scheme == "sqlite" else f"{parts.scheme}:{HIDDEN}"
    )


def url_mistakes(option: str, url: str) -> list[str]:
    """Mistakes in an HTTP address on a command line; the address is not repeated, because it may
    contain a secret.
    """
    if not is_url(url):
        return [f"{option} is not an http or https address"]
    if "@" in urlsplit(url).netloc:
        return [
            f"{option} has a user or a password, which every process could read; name one that"
            " needs no login"
        ]
    return []


def concealed(text: str, properties: Mapping[str, str]) -> str:
    """A text, such as an error's, with every property's value hidden that may be secret."""
    for value in sorted(set(_secrets(properties)), key=len, reverse=True):
        text = text.replace(value, shown(value) if "://" in value else HIDDEN)
    return text


def _secrets(properties: Mapping[str, str]) -> Iterator[str]:
    for name, value in properties.items():
        if name not in _HARMLESS:
            found = [value, *(_url_secrets(value) if "://" in value else value.split(":"))]
            yield from (part for part in found if len(part) >= _SECRET_LENGTH)


def _url_secrets(url: str) -> Iterator[str]:
    login, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        password = login.partition(":")[2]
        yield from (password, unquote(password))
    yield from (value for _, value in parse_qsl(url.partition("?")[2]))
