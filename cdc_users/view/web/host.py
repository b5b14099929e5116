"""Where Locust's web UI and master may listen: on 127.0.0.1, unless the user explicitly chooses
otherwise. Pure.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from cdc_users.error import OptionsError
from cdc_users.options.options import read_alone
from infra.validate import host_of, is_loopback

LOOPBACK = "127.0.0.1"
#: Locust's own defaults, each of which means every interface.
DEFAULTS = {"web_host": LOOPBACK, "master_bind_host": LOOPBACK}


def secure_defaults(parser: Any) -> None:
    """Have Locust listen on loopback if the command line names no address."""
    parser.set_defaults(**DEFAULTS)


def is_known(header: str, names: Sequence[str]) -> bool:
    """Whether requests may use this `Host` header.

    An address is always allowed, because only names can be rebound. A missing header comes from no
    browser.
    """
    host = host_of(header)
    try:
        return not header or is_loopback(host) or bool(ipaddress.ip_address(host))
    except ValueError:
        return host in names


def own_names(web_host: str, web_names: Sequence[str]) -> tuple[str, ...]:
    """The names of this page: those of the command line, and this machine's own."""
    return tuple(name.lower() for name in (web_host, socket.gethostname(), *web_names) if name)


def check(web_host: str, web_login: bool, allow_web_host: str) -> None:
    """Raise OptionsError when the page would be open to others without a login or an explicit
    permission.

    `allow_web_host` is the option's text, as Locust's namespace holds it.
    """
    if (
        web_login
        or (allow_web_host and read_alone("allow_web_host", allow_web_host))
        or is_loopback(web_host)
    ):
        return
    shown = "every interface" if web_host in ("", "*") else web_host
    raise OptionsError(
        [
            f"--web-host {shown}: anybody who reaches it could start load; listen on {LOOPBACK}, "
            "add --web-login, or say --allow-web-host yes"
        ]
    )
