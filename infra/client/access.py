"""The variables with which servers let this project in, for every process of a run.

Variables and endpoints name users and files. A secret itself is in a file, or in a variable that
the user has set. Child processes inherit them, so no secret is on a command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

#: A file of librdkafka's properties, for every Kafka client (infra.client.kafka).
KAFKA_PROPERTIES = "CDC_KAFKA_PROPERTIES"
#: Prefixes of the variables for an HTTP server.
REGISTRY_PREFIX, CONNECT_PREFIX, WEBHOOK_PREFIX = (
    "CDC_SCHEMA_REGISTRY",
    "CDC_CONNECT",
    "CDC_WEBHOOK",
)
#: Prefixes for services whose streams are watched; their URL is in PREFIX_URL.
REDIS_PREFIX, NATS_PREFIX = "CDC_REDIS", "CDC_NATS"
#: Services that take a password without a user; Redis has a default user.
_WITHOUT_USER = (WEBHOOK_PREFIX, REDIS_PREFIX)
#: Names behind a prefix whose values are secrets.
_SECRETS = ("PASSWORD", "TOKEN")


class AccessError(OSError):
    """A file that holds a secret cannot be read; the message names it and the variable."""


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """How an HTTP server is reached: no secrets, only the paths of their files.

    `ca` has the authorities that sign the server's certificate (PEM); `certificate` and `key` are
    our own.
    """

    user: str = ""
    password_file: str = ""
    token_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def variables(self, prefix: str) -> dict[str, str]:
        """The variables that say the same to a child process."""
        return {f"{prefix}_{name.upper()}": text for name, text in asdict(self).items() if text}

    def over(self, other: HttpAccess) -> HttpAccess:
        """This access, completed by the other's fields where this one's are empty."""
        mine, theirs = asdict(self), asdict(other)
        return HttpAccess(**{name: mine[name] or theirs[name] for name in mine})


HTTP_FIELDS = tuple(item.name for item in fields(HttpAccess))
#: Those that name a file.
HTTP_FILES = tuple(name for name in HTTP_FIELDS if name != "user")
VARIABLES = frozenset(
    (
        KAFKA_PROPERTIES,
        *(
            f"{prefix}_{name.upper()}"
            for prefix in (REGISTRY_PREFIX, CONNECT_PREFIX)
            for name in (*HTTP_FIELDS, *_SECRETS)
        ),
    )
)


def http_access(prefix: str, environ: Mapping[str, str]) -> HttpAccess:
    """The access to an HTTP server that the environment describes."""
    return HttpAccess(**{name: environ.get(f"{prefix}_{name.upper()}", "") for name in HTTP_FIELDS})


def secret(prefix: str, name: str, environ: Mapping[str, str]) -> str:
    """A password or a token: from its variable, otherwise from the file that another variable
    names.

    The file is read each time, because tokens are renewed. Raises AccessError.
    """
    given = environ.get(f"{prefix}_{name}")
    variable = f"{prefix}_{name}_FILE"
    if given or not environ.get(variable):
        return given or ""
    path = Path(environ[variable])
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise AccessError(f"{variable}={path} cannot be read; name a file that can") from error


def access_mistakes(prefix: str, environ: Mapping[str, str]) -> list[str]:
    """Contradictions in an HTTP server's access, and files that cannot be read."""
    access = http_access(prefix, environ)
    found = []
    for name in HTTP_FILES:
        path = getattr(access, name)
        if path and not _readable(Path(path)):
            found.append(f"{prefix}_{name.upper()}={path} cannot be read; name a file that can")
    password = environ.get(f"{prefix}_PASSWORD") or access.password_file
    token = environ.get(f"{prefix}_TOKEN") or access.token_file
    if password and not access.user and prefix not in _WITHOUT_USER:
        found.append(f"{prefix}_PASSWORD has no user beside it; set {prefix}_USER")
    if access.user and not password:
        found.append(
            f"{prefix}_USER has no password beside it; set {prefix}_PASSWORD or"
            f" {prefix}_PASSWORD_FILE"
        )
    if token and access.user:
        found.append(f"{prefix}_TOKEN and {prefix}_USER are two ways to log in; leave one out")
    if access.key and not access.certificate:
        found.append(f"{prefix}_KEY has no certificate beside it; set {prefix}_CERTIFICATE")
    return found


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
