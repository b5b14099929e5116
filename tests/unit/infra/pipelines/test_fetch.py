"""The shipped pipelines' files, and that each pipeline of the tree is one."""

from __future__ import annotations

import re

from cdc_users.options.described import SHIPPED, read_described
from cdc_users.pipeline.declaration import captures, transports
from infra.pipelines.fetch import LOCK
from infra.stack.artifacts.artifact import locked


def test_the_lock_names_coordinates_and_no_address() -> None:
    for artifact in (one for files in locked(LOCK).values() for one in files):
        assert re.fullmatch(r"[0-9a-f]{64}", artifact.sha256)
        assert ":" not in artifact.path


def test_the_lock_and_the_pom_name_the_same_versions() -> None:
    pom = LOCK.with_name("pom.xml").read_text(encoding="utf-8")
    named = re.findall(r"<artifactId>([^<]+)</artifactId><version>([^<]+)</version>", pom)
    in_lock = {
        tuple(artifact.path.split("/")[-3:-1])
        for files in locked(LOCK).values()
        for artifact in files
    }
    assert named
    assert set(named) <= in_lock


def test_every_shipped_pipeline_reads_without_a_mistake_and_can_be_run() -> None:
    shipped = sorted(SHIPPED.glob("*.toml"))
    assert [place.stem for place in shipped]
    for place in shipped:
        found = read_described(place)
        assert found.mistakes == [], place
        capture = captures().by_name[found.texts["capture"]]
        assert capture.publishes_to(transports().by_name[found.texts["transport"]])


def test_every_shipped_pipeline_is_on_its_page() -> None:
    page = (SHIPPED.parents[2] / "docs" / "shipped.md").read_text(encoding="utf-8")
    for place in SHIPPED.glob("*.toml"):
        assert f"| `{place.stem}` |" in page
