"""Makes artifacts.json, the lock of the Java servers' files, from pom.xml, here and beside the
shipped pipelines (for maintainers: `make lock`).

`python -m infra.stack.artifacts.lock` resolves each profile by itself, downloads its files and
writes coordinates, sizes and SHA-256. The lock holds no address: at run time the resolver library
knows the default repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from jgo.maven import Artifact, Dependency, MavenContext, PythonResolver

from infra.client.environment import ROOT

POM, LOCK = "pom.xml", "artifacts.json"
PLACES = (Path(__file__).parent, ROOT / "infra" / "pipelines")
NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


def declared(context: MavenContext, pom: Path) -> Iterator[tuple[str, list[Dependency]]]:
    """Each profile of a pom with the dependencies that it names."""
    tree = ElementTree.parse(pom)  # noqa: S314 - our own file
    for profile in tree.findall("m:profiles/m:profile", NAMESPACE):
        elements = profile.findall("m:dependencies/m:dependency", NAMESPACE)
        yield _text(profile, "id"), [_dependency(context, element) for element in elements]


def _text(element: ElementTree.Element, name: str, default: str = "") -> str:
    return element.findtext(f"m:{name}", default, NAMESPACE)


def _dependency(context: MavenContext, element: ElementTree.Element) -> Dependency:
    component = context.project(_text(element, "groupId"), _text(element, "artifactId")).at_version(
        _text(element, "version")
    )
    artifact = component.artifact(_text(element, "classifier"), _text(element, "type", "jar"))
    # raw: any other dependency would be imported as a bill of materials, which lowers versions.
    return Dependency(artifact, raw=True)


def resolve(context: MavenContext, dependencies: list[Dependency]) -> list[Artifact]:
    """The artifacts themselves and everything that they need at run time."""
    if dependencies[0].type != "jar":
        return [dependency.artifact for dependency in dependencies]
    inputs, transitive = context.resolver.resolve(dependencies)
    found = [
        dependency.artifact for dependency in (*inputs, *transitive) if dependency.type == "jar"
    ]
    unique = {artifact.filename: artifact for artifact in found}
    return [unique[name] for name in sorted(unique)]


def entry(artifact: Artifact) -> dict[str, object]:
    """One line of the lock."""
    path = artifact.resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    group = artifact.groupId.replace(".", "/")
    place = f"{group}/{artifact.artifactId}/{artifact.version}/{artifact.filename}"
    return {"path": place, "bytes": path.stat().st_size, "sha256": digest}


def main() -> int:
    """Resolve, download, hash, write."""
    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(cache))
        for place in PLACES:
            sets = {}
            for name, dependencies in declared(context, place / POM):
                sets[name] = [entry(artifact) for artifact in resolve(context, dependencies)]
                print(f"{name}: {len(sets[name])} files", file=sys.stderr)
            text = json.dumps({"sets": sets}, indent=1) + "\n"
            (place / LOCK).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
