"""`python -m cdc_users.observe`: watches where a run's events land, and what that costs.

Its configuration is one line of JSON on standard input, so that no secret is on a command line;
docs/observer.md describes it. When the observer is ready, it prints one JSON line. SIGTERM, or the
end of its standard input, ends it with exit code 0.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import TextIO

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.garbage import set_aside
from cdc_users.measure.wire import encode
from cdc_users.observe.comparison import answer
from cdc_users.observe.config import ObserverSettingsError, make_taps, read
from cdc_users.observe.gauge import Gauges, Sampling
from cdc_users.observe.message import ObserverReady
from cdc_users.observe.server import ObserverServer
from cdc_users.observe.settings import ObserverSettings
from cdc_users.observe.tap import TapError


async def serve(settings: ObserverSettings, stdin: TextIO) -> int:
    """Watch until asked to stop, and return 0; return 1 if a tap has crashed. Raises TapError if a
    tap cannot start.
    """
    anchor = settings.anchor.for_this_host() if settings.anchor else new_anchor()
    taps = make_taps(settings, anchor)
    sampling = Sampling(Gauges.of(settings.gauges), anchor)
    server = ObserverServer(
        taps, sampling, lambda request: answer(request, settings.run, taps), settings.token
    )
    stopping = asyncio.Event()
    crashed = False
    loop = asyncio.get_running_loop()

    def crash(crash: threading.ExceptHookArgs) -> None:
        """After a crash of its tap every later event would look lost, so the observer ends and says
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
        set_aside()
        print(encode(ObserverReady(url=url, taps=places)).decode("ascii"), flush=True)
        await stopping.wait()
    finally:
        for tap in taps.values():
            tap.stop()
        sampling.stop()
        await server.stop()
    return int(crashed)


def main(stdin: TextIO, stderr: TextIO) -> int:
    """Read the configuration and serve; returns 2 for a bad one, 3 if a server does not answer."""
    try:
        settings = read(stdin.readline())
    except ObserverSettingsError as error:
        print(error, file=stderr)
        return 2
    try:
        return asyncio.run(serve(settings, stdin))
    except TapError as error:
        print(error, file=stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stderr))
