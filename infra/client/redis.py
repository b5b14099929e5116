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
    """Whether this is a possible address of Redis, without a login, which results would show."""
    return is_url(text, ("redis", "rediss")) and "@" not in text


def redis_client(url: str, environ: Mapping[str, str] = os.environ) -> Any:
    """redis-py's client for the server at a URL; CDC_REDIS_USER, _PASSWORD, _CA and so on have the
    login (docs/pipeline.md). Connects at the first request.
    """
    from redis import Redis

    access = http_access(REDIS_PREFIX, environ)
    files = {"ca_certs": access.ca, "certfile": access.certificate, "keyfile": access.key}
    tls = url.startswith("rediss:")
    return Redis.from_url(
        url,
        username=access.user or None,
        password=secret(REDIS_PREFIX, "PASSWORD", environ) or None,
        # The older protocol's answers have the same form on every server.
        protocol=2,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        **({f"ssl_{name}": path for name, path in files.items() if path} if tls else {}),
    )
