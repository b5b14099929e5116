"""`python -m cdc_users.observe`: watches where a run's events land, and what that costs the
pipeline.

Its configuration is one line of JSON on standard input, so that no secret is on a command line;
docs/observer.md describes it. It says in one JSON line on standard output when it is ready.
SIGTERM, or the end of its standard input, ends it with 0.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.observe.comparison import answer
from cdc_users.observe.config import make_taps, mistakes
from cdc_users.observe.gauge import Sampling, gauges
from cdc_users.observe.server import ObserverServer
from cdc_users.observe.tap import TapError


async def serve(config: Mapping[str, Any], stdin: TextIO) -> int:
    """Watch until told to stop, and return 0;

    1 where a tap has crashed. Raises TapError when one cannot begin.
    """
    anchor = (
        Anchor.from_json(config["anchor"]).for_this_host() if "anchor" in config else new_anchor()
    )
    taps = make_taps(config, anchor)
    sampling = Sampling(gauges(config.get("gauges", {})), anchor)
    server = ObserverServer(taps, sampling, lambda request: answer(request, config["run"], taps))
    stopping = asyncio.Event()
    crashed = False
    loop = asyncio.get_running_loop()

    def crash(crash: threading.ExceptHookArgs) -> None:
        """A tap that has gone blind would make every later event look lost; better to end and say
        why.
        """
        nonlocal crashed
        crashed = True
        threading.__excepthook__(crash)
        loop.call_soon_threadsafe(stopping.set)

    threading.excepthook = crash
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_reader(stdin.fileno(), lambda: stopping.set() if not stdin.readline() else None)
    try:
        places = {name: tap.start() for name, tap in taps.items()}
        sampling.start()
        url = await server.start()
        print(json.dumps({"event": "observer.ready", "url": url, "taps": places}), flush=True)
        await stopping.wait()
    finally:
        for tap in taps.values():
            tap.stop()
        sampling.stop()
        await server.stop()
    return int(crashed)


def main(stdin: TextIO, stderr: TextIO) -> int:
    """Read the configuration and serve; 2 for a bad one, 3 where something does not answer."""
    line = stdin.readline()
    try:
        config = json.loads(line)
    except ValueError as error:
        # The line itself is not repeated: it may hold secrets.
        print(f"no configuration was given: one line of JSON is needed ({error})", file=stderr)
        return 2
    if found := mistakes(config):
        print("\n".join(found), file=stderr)
        return 2
    try:
        return asyncio.run(serve(config, stdin))
    except TapError as error:
        print(error, file=stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stderr))
