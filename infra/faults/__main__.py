"""`python -m infra.faults > docs/faults.md`: the catalogue of faults, from their declarations."""

from __future__ import annotations

import textwrap

from infra.faults.fault import ALL_AGAIN, Fault, faults

WIDTH = 110
HEAD = (
    "What `--faults` may name ([the scenario](scenarios/faults.md)); `all` is every fault that the"
    " pipeline at hand allows. Made by `python -m infra.faults > docs/faults.md` from the"
    " declarations in `infra/faults/catalogue/`. *Needs* says what must be there: *stack* is one"
    " that this checkout has started, *process stack* one whose servers are processes, *own table*"
    " and *own connector* are those of the run.",
    "A fault of your own is a value of `Fault` (`infra/faults/fault.py`) in a module of that"
    " folder, or an installed distribution's entry point in the group `locust_cdc.faults`.",
    "What each did to which pipeline stands in [results/faults.md](results/faults.md).",
)


def wrapped(text: str) -> str:
    """A paragraph as pages have it."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def entry(fault: Fault) -> str:
    """One fault under its name."""
    much = "all" if fault.repeats_s == ALL_AGAIN else f"{fault.repeats_s:g} s of load"
    again = [f"{much} may come again"] if fault.repeats_s else []
    allowed = "; ".join([*again, *(f"`{text}`" for text in fault.allows)])
    over = "" if fault.holds else " It is over at once."
    does = f"{fault.does}{over} Needs {', '.join(fault.needs)}. Allowed: {allowed}."
    return f"## {fault.name}\n\n{wrapped(does)}\n\n{wrapped(f'What helps: {fault.better}.')}"


def page() -> str:
    """The whole page."""
    entries = [entry(fault) for fault in faults().by_name.values()]
    return "\n\n".join(["# Faults", *map(wrapped, HEAD), *entries])


if __name__ == "__main__":
    print(page())
