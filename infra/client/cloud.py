"""Clients of Kinesis and Pub/Sub, whose libraries are the extra `cloud` and are imported where
they are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from infra.client.http import is_direct
from infra.validate import is_loopback

REGION = "us-east-1"
#: Settings that make boto3 read profiles, files and endpoints, none of which an emulator may use.
_UNREAD = ("profile", "config_file", "credentials_file", "ca_bundle", "ignore_configured_endpoint")
_MADE_UP = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def region(environ: Mapping[str, str]) -> str:
    """The region of Kinesis: the one that the environment names, else one for emulators."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION


def _made_up(endpoint: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Made-up keys if there is an endpoint and the environment has no keys for it."""
    profile = environ.get("AWS_PROFILE") and not is_direct(endpoint)
    return {} if not endpoint or environ.get(_KEYS[0]) or profile else _MADE_UP


def kinesis_variables(endpoint: str, environ: Mapping[str, str]) -> dict[str, str]:
    """AWS's variables for another program, so that it reaches Kinesis as `kinesis` does.

    On loopback AWS's Java library sends JSON: if a record arrived in CBOR, kinesalite returns an
    object in place of its data to readers of JSON.
    """
    made_up = {name.upper(): value for name, value in _made_up(endpoint, environ).items()}
    given = {name: value for name, value in environ.items() if name.startswith("AWS_")}
    if not is_direct(endpoint):
        return {**given, **made_up}
    keys = {name: value for name, value in given.items() if name in _KEYS}
    return {**keys, **made_up, "CBOR_ENABLED": "false"}


def kinesis(endpoint: str, environ: Mapping[str, str] = os.environ, **config: Any) -> Any:
    """boto3's client for the Kinesis at a URL, or for the real service if the URL is empty.

    On loopback the environment gives only keys and region: no proxy, profile or file. With an
    endpoint and no keys, made-up ones are used, which every emulator accepts.
    """
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    here = bool(endpoint) and is_direct(endpoint)
    if here:
        config |= {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
    unread = {
        name: (None, None, os.devnull if name.endswith("_file") else None, None) for name in _UNREAD
    }
    return boto3.Session(botocore_session=Session(session_vars=unread) if here else None).client(
        "kinesis",
        endpoint_url=endpoint or None,
        region_name=region(environ),
        config=Config(**config),
        **_made_up(endpoint, environ),
    )


def pubsub_channel(host: str) -> Any:
    """gRPC to the Pub/Sub emulator at HOST:PORT; on loopback without any proxy."""
    import grpc

    direct = is_loopback(host.rpartition(":")[0])
    return grpc.insecure_channel(host, options=[("grpc.enable_http_proxy", 0)] if direct else [])
