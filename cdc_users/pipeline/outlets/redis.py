"""Events come out in a stream of Redis."""

from __future__ import annotations

import os

from cdc_users.observe.settings import RedisSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.client.access import REDIS_PREFIX
from infra.client.redis import REDIS_FORM, REDIS_URL, is_redis_url


def _check(place: str) -> None:
    if place != place.strip():
        raise ValueError(f"{place!r} begins or ends with a space; write the stream's key alone")


def _tap(_: Prepared, place: str) -> RedisSettings:
    return RedisSettings(url=os.environ.get(REDIS_URL, ""), stream=place, from_end=True)


REDIS = OutletDeclaration(
    "redis",
    "STREAM",
    _check,
    tap=_tap,
    messages=True,
    prefix=REDIS_PREFIX,
    is_endpoint=is_redis_url,
    form=REDIS_FORM,
    package="redis",
    extra="streams",
)
