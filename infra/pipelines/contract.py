"""The parts of a platform's contract with a run (docs/platform-contract.md) that all pipelines here
share.
"""

from __future__ import annotations

import argparse
import json


def platform_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that a run gives its platform; unused ones are accepted and ignored."""
    first_line = (description or "").partition("\n")[0]
    found = argparse.ArgumentParser(description=first_line, allow_abbrev=False)
    for name in ("dsn", "slot", "publication", "endpoint"):
        found.add_argument(f"--{name}", required=True)
    return found


def say_ready() -> None:
    """Print the line that the run waits for."""
    print(json.dumps({"event": "platform.ready"}), flush=True)
