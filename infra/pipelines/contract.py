"""What a run asks of its platform (docs/platform-contract.md), as far as every pipeline here keeps
it alike.
"""

from __future__ import annotations

import argparse
import json


def platform_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that a run gives its platform; those that are of no use here are taken."""
    first_line = (description or "").partition("\n")[0]
    found = argparse.ArgumentParser(description=first_line, allow_abbrev=False)
    for name in ("dsn", "slot", "publication", "endpoint"):
        found.add_argument(f"--{name}", required=True)
    return found


def say_ready() -> None:
    """The line that the run waits for."""
    print(json.dumps({"event": "platform.ready"}), flush=True)
