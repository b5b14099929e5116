"""Which environment variables reach our servers, our clients and our child processes.

Our own servers are started and reached as this project says, whatever the user has set for other
purposes. The user's own servers are reached as the user says. So variables are left out only if the
stack is ours.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from infra.client.access import VARIABLES

#: Names the secret without which a process of the platform does nothing that is asked of it.
TELEMETRY_TOKEN = "CDC_TELEMETRY_TOKEN"  # noqa: S105 - a variable's name
ROOT = Path(__file__).resolve().parents[2]
#: PostgreSQL documentation, "Environment Variables" of libpq.
_LIBPQ_NAMES = """
    HOST SSLNEGOTIATION HOSTADDR PORT DATABASE USER PASSWORD PASSFILE REQUIREAUTH CHANNELBINDING
    SERVICE SERVICEFILE OPTIONS APPNAME SSLMODE REQUIRESSL SSLCOMPRESSION SSLCERT SSLKEY
    SSLCERTMODE SSLROOTCERT SSLCRL SSLCRLDIR SSLSNI REQUIREPEER SSLMINPROTOCOLVERSION
    SSLMAXPROTOCOLVERSION GSSENCMODE KRBSRVNAME GSSLIB GSSDELEGATION CONNECT_TIMEOUT
    CLIENTENCODING TARGETSESSIONATTRS LOADBALANCEHOSTS MINPROTOCOLVERSION MAXPROTOCOLVERSION
    DATESTYLE TZ GEQO SYSCONFDIR LOCALEDIR
"""
LIBPQ = frozenset(f"PG{name}" for name in re.findall(r"\w+", _LIBPQ_NAMES))
PROXIES = frozenset(("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy"))
#: Our servers get only these variables: Quarkus, Java, Node and PostgreSQL each read settings from
#: dozens of others.
FOR_SERVERS = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
)
#: Java can open a path with an umlaut only if the locale has it.
LOCALE = {"LC_ALL": "C.UTF-8"}
#: Variables that would change how a Python child is found, communicates or ends.
_PYTHON_NAMES = """
    DEBUG HOME INSPECT IOENCODING OPTIMIZE PLATLIBDIR PROFILEIMPORTTIME SAFEPATH STARTUP
    TRACEMALLOC VERBOSE WARNINGS
"""
PYTHON = frozenset(f"PYTHON{name}" for name in re.findall(r"\w+", _PYTHON_NAMES))
#: The login of a run's page, which no child process needs.
WEB_USER, WEB_PASSWORD = "CDC_WEB_USER", "CDC_WEB_PASSWORD"
WEB_PASSWORD_FILE = "CDC_WEB_PASSWORD_FILE"  # noqa: S105 - a variable's name
#: Keys of AWS, in any form: only processes that use AWS get them.
AWS_KEYS = re.compile("AWS_.*(KEY|TOKEN|SECRET).*")
WEB_LOGIN = frozenset((WEB_USER, WEB_PASSWORD, WEB_PASSWORD_FILE))
#: The variables that this process has left out, kept for the user's own commands.
_LEFT_OUT: dict[str, str] = {}


def for_server(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server, or of a tool such as `git`, that we start: without secrets."""
    return {name: value for name, value in environ.items() if name in FOR_SERVERS} | LOCALE


def for_python(environ: Mapping[str, str], *, aws: bool = False) -> dict[str, str]:
    """The environment of a Python process of this project; `aws` says whether it may use AWS and so
    gets its keys.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in PYTHON | WEB_LOGIN and (aws or not AWS_KEYS.fullmatch(name))
    }
    if os.pathsep not in str(ROOT):
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return kept


def module_command(module: str, *arguments: str) -> list[str]:
    """`python -m MODULE` for a module of this project, with the environment of `for_python`.

    Without `-P` a folder `infra` or `tests` of the working directory would come before ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def leave_out_access(environ: MutableMapping[str, str]) -> None:
    """Remove from this process, whose servers are ours, the variables for the user's own
    servers.
    """
    foreign = (LIBPQ | VARIABLES) & set(environ)
    _LEFT_OUT.update({name: environ.pop(name) for name in sorted(foreign)})


def as_given(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a command of the user's own, including what this process has left out."""
    given = {**_LEFT_OUT, **environ}
    return {name: value for name, value in given.items() if name not in WEB_LOGIN}


def in_effect(environ: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of the variables that this process's clients use, and of those that it has left
    out.

    Only names, because a value may be a password, or an address with one.
    """
    obeyed = [
        name
        for name in environ
        if name in LIBPQ | VARIABLES or name.lower() in PROXIES or name.startswith("AWS_")
    ]
    return {"obeyed": sorted(obeyed), "left_out": sorted(_LEFT_OUT)}
