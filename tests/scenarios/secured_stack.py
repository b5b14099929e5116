"""A secured stack of a checkout of its own, and the pipeline file by which it is reached."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.client.access import HttpAccess
from infra.stack.endpoints import Endpoints
from infra.stack.find.external import FILE, VARIABLES
from infra.stack.supervise.state import CHECKOUT
from tests.real_stack import server_processes

#: How the stack's passwords look (token_hex of 24 bytes).
PASSWORD = re.compile(r"\b[0-9a-f]{48}\b")


@dataclass(frozen=True, slots=True)
class SecuredStack:
    """A stack where every server asks who comes."""

    root: Path
    endpoints: Endpoints

    @property
    def secrets(self) -> Path:
        """Where all its secrets are."""
        return self.root / ".stack" / "run" / "secrets"

    def words(self) -> set[str]:
        """Every password of it, as it stands in its files."""
        found = set()
        for path in (*self.secrets.glob("*"), *self.secrets.parent.glob("*.properties")):
            if path.suffix not in (".p12", ".pem"):
                found |= set(PASSWORD.findall(path.read_text(encoding="utf-8")))
        return found

    def keys(self) -> set[str]:
        """A line out of the middle of every private key of it."""
        texts = [path.read_text(encoding="utf-8") for path in self.secrets.glob("*.pem")]
        return {text.splitlines()[2] for text in texts if "PRIVATE KEY" in text}

    def servers(self) -> list[psutil.Process]:
        """Its servers' processes."""
        return server_processes(self.root)

    def pipeline(self, **changed: str) -> str:
        """The pipeline file that describes it, with some of its texts as they should not be."""
        places = self.endpoints
        registry, connect = places.registry_access, places.connect_access
        return f"""
[source]
dsn = "{changed.get("dsn", places.postgres_dsn)}"
[kafka]
bootstrap = "{places.kafka_bootstrap}"
properties = "{changed.get("properties", places.kafka_properties)}"
[registry]
url = "{places.schema_registry_url}"
{_access(registry, changed.get("registry", ""))}
[connect]
url = "{places.connect_url}"
metrics = "{places.connect_metrics}"
{_access(connect, changed.get("connect", ""))}
postgres_user = "{places.postgres_user_from_connect}"
postgres_secret = "{places.postgres_secret_from_connect}"
"""


def _access(access: HttpAccess, without: str) -> str:
    known: Mapping[str, str] = {
        "user": access.user,
        "password_file": access.password_file,
        "ca": access.ca,
        "certificate": access.certificate,
    }
    return "\n".join(
        f'{name} = "{text}"' for name, text in known.items() if text and name not in without.split()
    )


@contextmanager
def secured_stack(root: Path) -> Iterator[SecuredStack]:
    """Bring one up, and take it down again."""
    shutil.copytree(
        CHECKOUT / "infra", root / "infra", ignore=shutil.ignore_patterns("__pycache__")
    )
    own = {name: value for name, value in os.environ.items() if name not in {FILE, *VARIABLES}}

    def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.stack", *arguments]
        return subprocess.run(
            command, cwd=root, env=own, capture_output=True, text=True, check=False, timeout=180
        )

    done = stack("up", "--secure", "yes", "--metrics", "yes", "--profile", "test")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        text = (root / ".stack" / "endpoints.json").read_text(encoding="utf-8")
        yield SecuredStack(root, Endpoints.from_json(json.loads(text)))
    finally:
        stack("down")
