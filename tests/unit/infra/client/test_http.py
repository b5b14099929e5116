"""Requests to this machine pass every proxy, and no answer leads a client elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from aiohttp import web

from infra.client import http
from infra.client.environment import ROOT
from infra.client.http import ask_connect, connect_trouble
from tests.recording_proxy import recording_proxy
from tests.tls import serving, tls_files

#: Clients that read proxies out of the environment unless each call says otherwise.
BYPASS = re.compile(
    r"requests\.(get|post|put|patch|delete|head|request|Session)\(|urlopen\(|trust_env=True"
    r"|boto3\.client\(|grpc\.(in)?secure_channel\(|SchemaRegistryClient\("
)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "http://user:secret@elsewhere.example/x")
        self.send_header("Content-Length", "0")
        self.send_header("X-Seen", self.headers.get("Authorization") or "nothing")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    thread = Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_server_on_loopback_is_reached_past_the_proxy(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_proxy() as (variables, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert http.get(server, timeout=5).ok
        assert not asked


def test_a_server_elsewhere_is_reached_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recording_proxy() as (variables, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        assert http.get("http://registry.example/subjects", timeout=5).status_code == 502
        assert "registry.example" in asked[0]


def test_no_password_out_of_netrc_goes_to_a_server_of_ours(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))

    assert http.get(server, timeout=5).headers["X-Seen"] == "nothing"


def test_a_redirect_is_an_error_that_names_the_host_and_no_secret(server: str) -> None:
    with pytest.raises(requests.RequestException, match=r"http://elsewhere\.example") as caught:
        http.get(f"{server}/moved", timeout=5)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("room", ["cdc_users", "infra", "locustfiles"])
def test_every_client_is_made_by_the_one_room_for_it(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / room).rglob("*.py"))
        if "infra/client/" not in path.as_posix()
        for line in path.read_text(encoding="utf-8").splitlines()
        if BYPASS.search(line)
    ]
    assert not found


def test_a_refused_certificate_of_connect_is_told_with_the_variables_that_mend_it(
    tmp_path: Path,
) -> None:
    tls, other = tls_files(tmp_path, "connect"), tls_files(tmp_path, "other")
    environ = {"CDC_CONNECT_CA": str(other.authority)}

    with (
        serving(web.Application(), tls.server) as place,
        pytest.raises(requests.exceptions.SSLError) as caught,
    ):
        ask_connect("GET", f"https://{place}/", timeout=5, environ=environ)

    told = connect_trouble(caught.value)
    assert "certificate is refused" in told
    assert "CDC_CONNECT_CA" in told
    assert connect_trouble(requests.ConnectionError()) == "ConnectionError"
