"""How the house stands: `python -m tests.house [DIR]` prints the figures of docs/results/house.md.

Everything is counted from the files that git tracks below a checkout, so that two revisions can be
compared: the one of this checkout, and one that stands elsewhere.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("cdc_users", "infra", "locustfiles")
#: What a folder may hold before a newcomer loses the overview (docs/architecture.md).
MOST_ENTRIES = 14
WIDEST = 100
#: What is said to a checker may stand beyond the edge, as ruff has it.
PRAGMA = re.compile(r"\s*#\s*(?:noqa|type: ignore).*$")
#: What a caller can keep apart without looking; more becomes a value.
MOST_PARAMETERS = 5
LONGEST_FILE = 400
#: Wherever a foreign format is opened, its objects are of any shape; nowhere else.
MOST_LOOSE = 40
LOOSE = re.compile(r"\b(?:dict|Mapping)\[str, Any\]")
#: Code that was written for speed: there a reader needs the reason beside the line.
HAND_OPTIMISED = ("avro/", "replication/pgoutput/", "wal/serialise/", "transports/", "schemas/")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file of a checkout: its path below it, and its text."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """The file's dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def product(self) -> bool:
        """Whether it belongs to what users install."""
        return self.path.startswith(ROOMS)


def sources(root: Path) -> list[Source]:
    """The Python files that git tracks below a checkout."""
    command = ["git", "-C", str(root), "ls-files", "*.py"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    found = [name for name in listed if name and (root / name).is_file()]
    return [Source(name, (root / name).read_text(encoding="utf-8")) for name in found]


def entries(found: Iterable[Source]) -> Counter[str]:
    """How many files and folders each folder of the product holds, its `__init__.py` left out."""
    inside = defaultdict(set)
    for source in found:
        parts = source.path.split("/")
        for depth in range(1, len(parts)):
            if source.product and parts[depth] != "__init__.py":
                inside["/".join(parts[:depth])].add(parts[depth])
    return Counter({folder: len(names) for folder, names in inside.items()})


def imports(source: Source, known: frozenset[str]) -> set[str]:
    """The modules of the product that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & known) or ({node.module} & known)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found - {source.module}


def import_graph(found: Iterable[Source]) -> dict[str, set[str]]:
    """Who imports whom, module by module."""
    product = [source for source in found if source.product]
    known = frozenset(source.module for source in product)
    return {source.module: imports(source, known) for source in product}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, directly or through others (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            groups.append(stack[cut:])
            del stack[cut:]

    sys.setrecursionlimit(10_000)
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return [sorted(group) for group in groups if len(group) > 1]


def room_of(module: str) -> str:
    """The folder that stands for a module in the picture of the rooms."""
    return ".".join(module.split(".")[:2])


def room_edges(graph: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """The directions between rooms."""
    pairs = {(room_of(one), room_of(other)) for one, others in graph.items() for other in others}
    return {(one, other) for one, other in pairs if one != other}


def meanings(found: Iterable[Source]) -> dict[str, list[str]]:
    """Public classes and aliases that stand in several modules of the product."""
    places = defaultdict(list)
    for source in found:
        for name in _public_names(source) if source.product else ():
            places[name].append(source.module)
    return {name: modules for name, modules in sorted(places.items()) if len(modules) > 1}


def _public_names(source: Source) -> Iterator[str]:
    for node in ast.parse(source.text).body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            names = [name for name in names if name[:1].isupper() and not name.isupper()]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def comments(found: Iterable[Source]) -> float:
    """Comment lines for 100 lines of code, docstrings and blank lines left out."""
    told = code = 0
    for source in found:
        rows: dict[int, bool] = {}
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type == tokenize.COMMENT:
                told += 1
            elif token.type not in _LAYOUT and not _docstring(token):
                rows.update(dict.fromkeys(range(token.start[0], token.end[0] + 1), True))
        code += len(rows)
    return 100 * told / code if code else 0.0


_LAYOUT = frozenset(
    {
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
        tokenize.ENCODING,
    }
)


def _docstring(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.STRING and token.line.lstrip().startswith(('"""', 'r"""'))


def lines(found: Iterable[Source]) -> int:
    """Lines of all these files."""
    return sum(source.text.count("\n") for source in found)


def wide(found: Iterable[Source]) -> list[str]:
    """Lines that are too long, as FILE:LINE."""
    return [
        f"{source.path}:{number}"
        for source in found
        for number, line in enumerate(source.text.split("\n"), start=1)
        if len(PRAGMA.sub("", line)) > WIDEST
    ]


def signatures(found: Iterable[Source]) -> dict[str, int]:
    """Functions of the product with more parameters than one can keep apart, as FILE:NAME, with
    their number; `self` and `cls` are none.
    """
    return {
        f"{source.path}:{node.name}": count
        for source in found
        if source.product
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := _parameters(node.args)) > MOST_PARAMETERS
    }


def _parameters(arguments: ast.arguments) -> int:
    placed = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    return len(placed) + len(arguments.kwonlyargs) - (placed[:1] in (["self"], ["cls"]))


def loose(found: Iterable[Source]) -> int:
    """How often the product names a dictionary of any values by text."""
    return sum(len(LOOSE.findall(source.text)) for source in found if source.product)


def long_files(found: Iterable[Source]) -> dict[str, int]:
    """Files of the product that are longer than a reader likes, with their lines."""
    return {
        source.path: count
        for source in found
        if source.product and (count := source.text.count("\n")) > LONGEST_FILE
    }


def _under(*folders: str) -> Callable[[Source], bool]:
    return lambda source: any(folder in source.path for folder in folders)


def figures(root: Path) -> list[tuple[str, str]]:
    """Every figure of a checkout, by name."""
    found = sources(root)
    product = [source for source in found if source.product]
    tests = [source for source in found if source.path.startswith("tests/")]
    graph = import_graph(found)
    (fullest, most), *_ = entries(found).most_common(1)
    fast = [source for source in product if _under(*HAND_OPTIMISED)(source)]
    measuring = [source for source in product if _under("cdc_users/measure/")(source)]
    proving = [source for source in tests if re.search(r"unit/.*measure/", source.path)]
    return [
        ("entries of the fullest folder", f"{most} ({fullest})"),
        ("entries of cdc_users/", str(entries(found)["cdc_users"])),
        ("import edges between modules", str(sum(map(len, graph.values())))),
        ("import edges between rooms", str(len(room_edges(graph)))),
        ("import circles", str(len(circles(graph)))),
        ("names with several meanings", str(len(meanings(found)))),
        ("`dict[str, Any]` and `Mapping[str, Any]`", str(loose(found))),
        (f"functions with more than {MOST_PARAMETERS} parameters", str(len(signatures(found)))),
        (f"files over {LONGEST_FILE} lines", str(len(long_files(found)))),
        ("comments for 100 lines of code", f"{comments(product):.1f}"),
        ("the same where code was written for speed", f"{comments(fast):.1f}"),
        (f"lines over {WIDEST} columns", str(len(wide(found)))),
        ("lines of the product", f"{lines(product):,}"),
        ("lines of tests", f"{lines(tests):,}"),
        ("tests to code", f"{lines(tests) / lines(product):.2f}"),
        ("tests to code in measure/", f"{lines(proving) / max(1, lines(measuring)):.2f}"),
    ]


def main(arguments: Sequence[str]) -> None:
    """Print the figures of a checkout as the rows of a table."""
    top = argparse.ArgumentParser(prog="python -m tests.house", description=__doc__)
    top.add_argument("root", nargs="?", type=Path, default=Path.cwd(), metavar="DIR")
    for name, value in figures(top.parse_args(arguments).root):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main(sys.argv[1:])
