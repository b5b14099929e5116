"""Events come out in a stream of NATS JetStream."""

from __future__ import annotations

import os
import re

from cdc_users.observe.settings import NatsSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.client.access import NATS_PREFIX
from infra.client.nats import NATS_FORM, NATS_URL, is_nats_url

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def _check(place: str) -> None:
    if _NAME.fullmatch(place) is None:
        raise ValueError(
            f"{place!r} is no name for a JetStream stream, which has letters, digits, '-' and '_',"
            " and no subject's dots"
        )


def _tap(_: Prepared, place: str) -> NatsSettings:
    return NatsSettings(url=os.environ.get(NATS_URL, ""), stream=place, from_end=True)


NATS = OutletDeclaration(
    "nats",
    "STREAM",
    _check,
    tap=_tap,
    messages=True,
    prefix=NATS_PREFIX,
    is_endpoint=is_nats_url,
    form=NATS_FORM,
    package="nats",
    extra="streams",
)
