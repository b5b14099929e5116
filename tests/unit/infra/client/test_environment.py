"""What of the environment reaches servers, clients and children."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from psycopg import pq

from infra.client.environment import (
    LIBPQ,
    ROOT,
    as_given,
    for_python,
    for_server,
    in_effect,
    leave_out_access,
    module_command,
)


def test_a_server_gets_what_it_needs_to_run_and_no_setting() -> None:
    settings = {
        "JAVA_TOOL_OPTIONS": "-Dx=1",
        "JDK_JAVA_OPTIONS": "-Dx=1",
        "_JAVA_OPTIONS": "-Dx=1",
        "KAFKA_OPTS": "-Dx=1",
        "CLASSPATH": "/nowhere",
        "QUARKUS_HTTP_HOST": "0.0.0.0",
        "NODE_OPTIONS": "--inspect=0.0.0.0",
        "PGDATA": "/nowhere",
        "LANG": "POSIX",
        "HTTP_PROXY": "http://proxy.example",
        "PGPASSWORD": "canary",
    }

    assert for_server({"PATH": "/bin", "HOME": "/h", **settings}) == {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C.UTF-8",
    }


def test_every_variable_that_libpq_reads_is_known() -> None:
    read = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    assert read <= LIBPQ


def test_what_is_left_out_is_there_for_a_command_of_the_users_own_and_named_without_value() -> None:
    environ = {"PGPASSWORD": "canary", "PGSSLMODE": "require", "PATH": "/bin", "AWS_REGION": "eu"}

    leave_out_access(environ)

    assert environ == {"PATH": "/bin", "AWS_REGION": "eu"}
    assert as_given(environ)["PGPASSWORD"] == "canary"
    told = in_effect({**environ, "https_proxy": "http://u:canary@proxy.example"})
    assert told["obeyed"] == ["AWS_REGION", "https_proxy"]
    assert {"PGPASSWORD", "PGSSLMODE"} <= set(told["left_out"])
    assert "canary" not in str(told)


@pytest.mark.parametrize("folder", ["infra", "cdc_users", "tests"])
def test_a_child_finds_this_project_whatever_lies_in_the_working_directory(
    folder: str, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "__init__.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
    hostile = {"PYTHONINSPECT": "1", "PYTHONSAFEPATH": "1", "PYTHONHOME": "/nowhere"}

    done = subprocess.run(
        module_command("infra.stack", "--help"),
        cwd=tmp_path,
        env=for_python({**os.environ, **hostile, "PYTHONPATH": str(tmp_path)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "python -m infra.stack" in done.stdout


def test_locust_finds_this_project_beside_a_folder_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "__init__.py").touch()
    # As Locust does: the working directory first, then the locustfile.
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}];"
        " import cdc_users.options.parse"
    )

    done = subprocess.run(
        [*module_command("x")[:2], "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_who_may_see_the_page_is_told_to_no_child() -> None:
    login = {
        "CDC_WEB_USER": "u",
        "CDC_WEB_PASSWORD": "canary",
        "CDC_WEB_PASSWORD_FILE": "/canary",
    }

    for given in (for_python, as_given):
        assert not set(login) & set(given({**login, "PATH": "/bin"}))


def test_keys_of_aws_are_for_processes_that_may_ask_it() -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": "canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_SESSION_TOKEN": "canary",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary",
    }
    environ = {**keys, "AWS_REGION": "eu-central-1", "CDC_WEBHOOK_TOKEN": "webhook"}

    assert "canary" not in for_python(environ).values()
    assert {"AWS_REGION", "CDC_WEBHOOK_TOKEN"} <= set(for_python(environ))
    assert keys.items() <= for_python(environ, aws=True).items()
    assert keys.items() <= as_given(environ).items()
