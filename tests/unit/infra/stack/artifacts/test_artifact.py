"""Downloads: verified, resumed, atomic, with one clear message for what can go wrong."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.stack.artifacts.artifact import LOCK, Artifact, download, fetch, locked, repository
from infra.stack.error import StackError

CONTENT = bytes(range(256)) * 4000


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a word, and ranges of them."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()[
            int(wanted.split("=")[1].rstrip("-")) :
        ]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    place = tmp_path / "mirror"
    place.mkdir()
    (place / "a.jar").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = Artifact("a.jar", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_a_file_is_fetched_and_kept(mirror: str, tmp_path: Path) -> None:
    environ = {"CDC_CACHE_DIR": str(tmp_path / "cache"), "CDC_MAVEN_MIRROR": mirror}

    places = fetch([GOOD], environ, lambda _: None)

    assert places["a.jar"].read_bytes() == CONTENT
    environ["CDC_MAVEN_MIRROR"] = "http://127.0.0.1:1"
    assert fetch([GOOD], environ, lambda _: None) == places


def test_an_interrupted_download_goes_on_where_it_stopped(mirror: str, tmp_path: Path) -> None:
    place = tmp_path / "a.jar"
    place.with_name("a.jar.part").write_bytes(CONTENT[:100_000])
    steps: list[int] = []

    download(GOOD, place, mirror, steps.append)

    assert place.read_bytes() == CONTENT
    assert steps[0] == 100_000
    assert not list(tmp_path.glob("*.part*"))


def test_a_corrupted_file_is_never_put_in_place(mirror: str, tmp_path: Path) -> None:
    bad = Artifact("a.jar", len(CONTENT), "0" * 64)

    with pytest.raises(StackError, match="arrived corrupted"):
        download(bad, tmp_path / "a.jar", mirror, lambda _: None)

    assert not list(tmp_path.glob("a.jar*"))


def test_without_a_network_the_message_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="CDC_MAVEN_MIRROR"):
        download(GOOD, tmp_path / "a.jar", "http://127.0.0.1:1", lambda _: None)


def test_a_mirror_takes_the_place_of_the_default_repository() -> None:
    assert (
        repository({"CDC_MAVEN_MIRROR": "http://mirror.test/maven/"}) == "http://mirror.test/maven"
    )


def test_the_lock_names_files_by_coordinates_and_no_address() -> None:
    assert "://" not in LOCK.read_text(encoding="utf-8")
    names = {"kafka", "connect", "debezium", "converter", "registry", "metrics"}
    assert set(locked()) == names


def test_without_the_extra_and_without_a_mirror_no_repository_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.constants", None)

    with pytest.raises(StackError, match="CDC_MAVEN_MIRROR"):
        repository({})
