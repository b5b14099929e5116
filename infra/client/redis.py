"""A client of a Redis, or of a Valkey, by its URL; the library is the extra `streams` and is
imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from infra.client.access import REDIS_PREFIX, http_access, secret
from infra.validate import is_url

REDIS_URL = f"{REDIS_PREFIX}_URL"
REDIS_FORM = "redis://HOST:PORT, or rediss:// with TLS"
TIMEOUT_S = 10.0


def is_redis_url(text: str) -> bool:
    """Whether this is where a Redis can be, without a login, which would stand in results."""
    return is_url(text, ("redis", "rediss")) and "@" not in text


def redis_client(url: str, environ: Mapping[str, str] = os.environ) -> Any:
    """redis-py's client of the server at a URL; CDC_REDIS_USER, _PASSWORD, _CA and so on say how
    it lets us in (docs/pipeline.md). Connects with the first request.
    """
    from redis import Redis

    access = http_access(REDIS_PREFIX, environ)
    files = {"ca_certs": access.ca, "certfile": access.certificate, "keyfile": access.key}
    tls = url.startswith("rediss:")
    return Redis.from_url(
        url,
        username=access.user or None,
        password=secret(REDIS_PREFIX, "PASSWORD", environ) or None,
        # Answers in the older protocol have one form whatever the server is.
        protocol=2,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        **({f"ssl_{name}": path for name, path in files.items() if path} if tls else {}),
    )
