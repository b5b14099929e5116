"""What is pinned is looked up where advisories can be had, and nothing fails where they cannot."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typing_extensions import override

from infra.stack.servers.port import free_ports
from tests import advisories
from tests.advisories import VARIABLE, Pinned, ask, main, pinned
from tests.tiers import CHECK, stages

BAD = Pinned("PyPI", "requests", "0")
GOOD = Pinned("Maven", "org.example:thing", "1")
NAMES = ["GHSA-0000", "PYSEC-0000"]


class Osv(BaseHTTPRequestHandler):
    """A source that knows of one package, and answers in the order of the queries."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        bad = [query["package"]["name"] == BAD.name for query in asked]
        told = [{"vulns": [{"id": name} for name in reversed(NAMES)]} if it else {} for it in bad]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": told}).encode())

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def source(handler: type[BaseHTTPRequestHandler] = Osv) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_every_lock_is_read() -> None:
    names = {(package.ecosystem, package.name): package.version for package in pinned()}

    assert names["PyPI", "requests"]
    assert names["Maven", "org.apache.kafka:connect-runtime"]
    assert names["Maven", "io.debezium:debezium-server-dist"]
    assert names["npm", "kinesalite"]
    assert not names["Go", "google.golang.org/grpc"].startswith("v")
    assert all(set(package.version) & set("0123456789") for package in pinned())


def test_advisories_are_told_of_the_package_that_has_them() -> None:
    with source() as url:
        assert ask([GOOD, BAD], url).found == {BAD: NAMES}


def test_more_than_one_request_can_take_are_asked_for_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advisories, "MOST", 1)
    with source() as url:
        assert ask([GOOD, BAD, GOOD], url).found == {BAD: NAMES}


def test_an_advisory_warns_and_fails_only_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with source() as url:
        monkeypatch.setenv(VARIABLE, url)
        assert main([]) == 0
        assert f"warning: PyPI {BAD.name} " in capsys.readouterr().out
        assert main(["--fail"]) == 1


def test_a_source_that_is_not_there_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{free_ports(1)[0]}/")

    assert main(["--fail"]) == 0
    assert capsys.readouterr().out == ("skipped: no advisory source reachable (ConnectionError)\n")


def test_a_source_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = ask([BAD], f"http://127.0.0.1:{silent.getsockname()[1]}/", limit_s=0.2)

    assert not answer.found
    assert answer.skipped


class Another(Osv):
    """Something else that listens there."""

    @override
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"results": [{}, {}]}')


def test_an_answer_that_does_not_fit_the_question_says_nothing() -> None:
    with source(Another) as url:
        assert ask([BAD], url).skipped == "no advisory source reachable (ValueError)"


def test_only_the_option_makes_the_check_fail() -> None:
    (usual,) = (stage for stage in CHECK if stage.name == "known advisories")
    (strict,) = (
        stage for stage in stages("check", failing=True) if stage.name == "known advisories"
    )

    assert "--fail" not in usual.command
    assert strict.command == (*usual.command, "--fail")
    assert [stage for stage in stages("check", failing=True) if stage != strict] == [
        stage for stage in CHECK if stage != usual
    ]
