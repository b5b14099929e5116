"""Java's class path has one file a library, and what a start has taught is trusted only as kept."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from infra.stack.artifacts import java
from infra.stack.artifacts.artifact import Artifact, locked
from infra.stack.artifacts.java import (
    CONVERTER,
    CONVERTER_SERVICE,
    HEAP_MB,
    JavaFiles,
    class_path,
    find_java,
    flags,
    startup,
)
from infra.stack.endpoints import Profile
from infra.stack.error import StackConfigError


def artifact(version: str, library: str = "lib", group: str = "org/shop") -> Artifact:
    return Artifact(f"{group}/{library}/{version}/{library}-{version}.jar", 1, "0" * 64)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("3.9.0", "4.3.1"),
        ("4.9", "4.10"),
        ("1.1.10.5", "1.1.10.7"),
        ("1.5.6-4", "1.5.6-10"),
        ("2.16.2", "2.21"),
        ("1.0", "1.0.1"),
        ("4.3.1-rc1", "4.3.1"),
        ("4.3.1-rc1", "4.3.1-rc2"),
        ("4.3.0", "4.3.1-rc1"),
        ("3.6.3.Alpha1", "3.6.3.Final"),
        ("1.0.Final", "1.0.1"),
        ("33.0-android", "33.0-jre"),
    ],
)
def test_of_one_library_the_newest_version_is_taken(older: str, newer: str) -> None:
    for order in ((older, newer), (newer, older), (newer, older, newer)):
        assert java._newest([artifact(version) for version in order]) == [f"lib-{newer}.jar"]


def test_libraries_of_one_name_and_other_groups_are_two() -> None:
    found = java._newest([artifact("1", "a"), artifact("2", "b"), artifact("3", "a", "org/other")])

    assert found == ["a-1.jar", "b-2.jar", "a-3.jar"]


def test_the_lock_has_no_second_file_of_one_version_that_a_class_path_would_lose() -> None:
    for entries in locked().values():
        folders = [entry.path.rsplit("/", 1)[0] for entry in entries]
        assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("wanted", ["system", "named"])
def test_a_runtime_of_the_users_own_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    own = tmp_path / "java"
    own.write_text("#!/bin/sh\n", encoding="utf-8")
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_java({"CDC_JAVA": str(own) if wanted == "named" else wanted}) == own


@pytest.mark.parametrize("wanted", ["system", "/nowhere/java", "größe"])
def test_a_runtime_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackConfigError) as told:
        find_java({"CDC_JAVA": wanted})

    assert str(told.value) == (
        f"CDC_JAVA={wanted!r} names no Java runtime; unset it to use the one that is included"
    )


def runtime(place: Path, release: str = "17", modules: bytes = b"x") -> Path:
    (place / "bin").mkdir(parents=True)
    (place / "lib").mkdir()
    (place / "release").write_text(release, encoding="utf-8")
    (place / "lib" / "modules").write_bytes(modules)
    (place / "bin" / "java").touch()
    return place / "bin" / "java"


def test_a_runtime_is_known_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    one, copy = runtime(tmp_path / "one"), runtime(tmp_path / "copy")
    newer, larger = runtime(tmp_path / "newer", "25"), runtime(tmp_path / "larger", "17", b"xx")

    places = [java._startup_caches(tmp_path, each) for each in (one, copy, newer, larger)]

    assert places[0] == places[1]
    assert len(set(places)) == 3
    assert all(place.parent == tmp_path / "startup" for place in places)


def test_a_runtime_of_which_nothing_is_known_is_known_by_its_place(tmp_path: Path) -> None:
    found = {java._startup_caches(tmp_path, tmp_path / name / "bin/java") for name in ("a", "b")}

    assert len(found) == 2


def test_connect_is_told_of_its_converter_by_a_jar_that_is_made_once(tmp_path: Path) -> None:
    jar = java._services_jar(tmp_path / "new")
    with zipfile.ZipFile(jar) as archive:
        assert archive.read(CONVERTER_SERVICE).decode() == f"{CONVERTER}\n"
    jar.write_bytes(b"kept")

    assert java._services_jar(tmp_path / "new").read_bytes() == b"kept"
    assert [path.name for path in jar.parent.iterdir()] == [jar.name]


def test_a_jar_is_the_same_whoever_makes_it(tmp_path: Path) -> None:
    made = {java._services_jar(tmp_path / name).read_bytes() for name in ("a", "b")}

    assert len(made) == 1


def files(cache: Path) -> JavaFiles:
    return JavaFiles(Path("java"), [], [], Path("registry"), cache / "startup" / "key")


def test_a_first_start_learns_and_the_next_one_uses_what_was_kept(tmp_path: Path) -> None:
    learning, training = startup(files(tmp_path), "kafka", "bench")

    assert training is not None
    assert learning[0] == f"-XX:AOTCacheOutput={training.draft}"
    training.keep()
    assert startup(files(tmp_path), "kafka", "bench")[1] is not None
    training.draft.write_bytes(b"learned")
    training.keep()

    using, nothing = startup(files(tmp_path), "kafka", "bench")
    assert nothing is None
    assert using == [f"-XX:AOTCache={training.cache}", "-Xlog:aot=off", "-Xlog:cds=off"]
    assert startup(files(tmp_path), "kafka", "test")[1] is not None
    assert startup(files(tmp_path), "connect", "bench")[1] is not None


def test_what_was_altered_since_it_was_kept_is_learned_again(tmp_path: Path) -> None:
    _, training = startup(files(tmp_path), "kafka", "bench")
    assert training is not None
    training.draft.write_bytes(b"learned")
    training.keep()

    training.cache.write_bytes(b"somebody")

    options, again = startup(files(tmp_path), "kafka", "bench")
    assert again is not None
    assert "-XX:AOTCache=" not in " ".join(options)


def test_where_nothing_can_be_kept_nothing_is_learned(tmp_path: Path) -> None:
    (tmp_path / "startup").write_text("in the way", encoding="utf-8")

    assert startup(files(tmp_path), "kafka", "bench") == ([], None)


@pytest.mark.parametrize("name", sorted(HEAP_MB))
def test_a_server_has_its_heap_and_its_own_directory(name: str, tmp_path: Path) -> None:
    told = flags(name, "bench", tmp_path)

    assert f"-Xmx{HEAP_MB[name]}m" in told
    assert f"-Djava.io.tmpdir={tmp_path}" in told
    assert f"-Dlog4j2.configurationFile={tmp_path}/log4j2.xml" in told


@pytest.mark.parametrize(
    ("name", "profile", "quick"),
    [
        ("kafka", "bench", False),
        ("connect", "bench", False),
        ("schema-registry", "bench", True),
        ("kafka", "test", True),
        ("schema-registry", "test", True),
    ],
)
def test_speed_is_traded_for_a_quick_start_only_where_no_figure_suffers(
    name: str, profile: Profile, quick: bool, tmp_path: Path
) -> None:
    assert ("-XX:TieredStopAtLevel=1" in flags(name, profile, tmp_path)) is quick


def test_a_class_path_is_in_the_systems_notation() -> None:
    assert class_path([Path("/a.jar"), Path("/b c.jar")]) == os.pathsep.join(["/a.jar", "/b c.jar"])
    assert class_path([]) == ""
