"""Finds declarations by name, without a list: a file in the right folder is enough.

In the tree every module of a package is looked at, and in each folder there the module `plugin`.
Outside the tree an installed distribution names its own by an entry point (Python Packaging User
Guide, "Entry points"). Only what is installed can be named, so no option, request or form can have
a module imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """A declaration: options choose it by its name."""

    @property
    def name(self) -> str:
        """The word that chooses it."""


N = TypeVar("N", bound=Named)


@dataclass(frozen=True, slots=True)
class Offer(Generic[N]):
    """Declarations by name, and a sentence for each mistake of an installed distribution."""

    by_name: Mapping[str, N]
    mistakes: tuple[str, ...]


def offered(
    package: str, kind: type[N], group: str, order: Callable[[N], tuple[object, ...]]
) -> Offer[N]:
    """All declarations of one kind, sorted by `order`.

    A distribution's plugin that cannot be imported, is of another kind or uses a taken name is left
    out and reported.
    """
    found = {item.name: item for item in _in_tree(package, kind)}
    mistakes = []
    for point in entry_points(group=group):
        loaded = _loaded(point, kind, found)
        if isinstance(loaded, str):
            mistakes.append(loaded)
        else:
            found[loaded.name] = loaded
    ordered = sorted(found.values(), key=order)
    return Offer({item.name: item for item in ordered}, tuple(mistakes))


def from_outside(groups: str) -> bool:
    """Whether an installed distribution offers anything in a group whose name begins like this."""
    return any(name.startswith(groups) for name in entry_points().groups)


def lacking(package: str, extra: str) -> str | None:
    """What a declaration needs and this installation lacks, with the remedy; None if nothing is
    lacking. `package` is importable; an empty one means that nothing is needed.
    """
    try:
        if not package or importlib.util.find_spec(package) is not None:
            return None
    except ModuleNotFoundError:  # a part of a name before a dot
        pass
    return (
        f"needs {package}, which is not installed; it is the extra `{extra}`:"
        f" `make setup SLIM=`, or pip install -e '.[{extra}]'"
    )


def _in_tree(package: str, kind: type[N]) -> Iterator[N]:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        name = f"{package}.{module.name}"
        if module.ispkg:
            name += ".plugin"
            if importlib.util.find_spec(name) is None:
                continue
        values = vars(importlib.import_module(name)).values()
        yield from (value for value in values if isinstance(value, kind))


def _loaded(point: EntryPoint, kind: type[N], taken: Mapping[str, N]) -> N | str:
    """The declaration behind an entry point, or the mistake in it."""
    owner = point.dist.name if point.dist is not None else "an installed distribution"
    where = f"{owner} offers {point.name!r} in {point.group} as {point.value}"
    try:
        item = point.load()
    except Exception as error:  # noqa: BLE001 - whatever foreign code raises is a sentence of ours
        return f"{where}, which cannot be imported ({type(error).__name__}: {error}); repair it"
    if not isinstance(item, kind):
        return f"{where}, which is of type {type(item).__name__} and no {kind.__name__}; name one"
    if item.name in taken:
        return f"{where}, but the name {item.name!r} is taken; give it another"
    return item
