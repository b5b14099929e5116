"""`python -m infra.platform.wal`: from Postgres to Kinesis, Pub/Sub or Kafka, straight from a
replication slot.

When it streams, it prints one JSON line with its telemetry's address; logs go to standard error as
JSON lines. On SIGTERM it publishes and confirms what it holds, and ends with 0. It ends with 2 for
a mistake that must be corrected, and with 3 for a server that does not answer; the message has the
remedy.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence

import psycopg

from cdc_users.measure.clock import anchor_from
from cdc_users.measure.garbage import set_aside
from infra.platform.process.error import ConfigError, PlatformError, UnreachableError
from infra.platform.process.log import log_to_stderr
from infra.platform.transports.naming import NamingError
from infra.platform.transports.transport import PublishRefusedError
from infra.platform.wal.error import SetupError, SlotGoneError
from infra.platform.wal.option import mistakes, parser, to_settings
from infra.platform.wal.service import DirectReaderSettings, Service
from infra.platform.wal.telemetry import WalTelemetry
from infra.replication.error import ReplicationError


def exit_code(failure: Exception) -> int:
    """2 for a mistake that must be corrected first, 3 for a server that is not there,
    otherwise 1.
    """
    if isinstance(failure, (ConfigError, SetupError, PublishRefusedError, NamingError)):
        return 2
    return 3 if isinstance(failure, (UnreachableError, SlotGoneError, psycopg.Error)) else 1


async def serve(settings: DirectReaderSettings, telemetry_port: int) -> int:
    """Run until a signal, or until a failure that retrying does not cure."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    anchor = anchor_from(os.environ)
    service = await asyncio.to_thread(Service, settings, anchor)
    telemetry = WalTelemetry(service, anchor)
    try:
        url = await telemetry.start(telemetry_port)
        reading = asyncio.create_task(asyncio.to_thread(service.run))
        announcing = asyncio.create_task(_announce(service, url))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({reading, stopping}, return_when="FIRST_COMPLETED")
        service.stop()
        await reading
        for task in (announcing, stopping):
            task.cancel()
    finally:
        await telemetry.stop()
        await asyncio.to_thread(service.close)
    if service.failure is not None:
        print(service.failure, file=sys.stderr)
        return exit_code(service.failure)
    return 0


async def _announce(service: Service, url: str) -> None:
    while not service.reader.streaming.is_set():
        await asyncio.sleep(0.01)
    set_aside()
    print(json.dumps({"event": "platform.ready", "telemetry": url, "pid": os.getpid()}), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Check the options, then serve."""
    options = parser(__doc__.splitlines()[0]).parse_args(arguments)
    if found := mistakes(options, os.environ):
        print("\n".join(found), file=sys.stderr)
        return 2
    log_to_stderr()
    try:
        return asyncio.run(serve(to_settings(options, os.environ), int(options.telemetry_port)))
    except (PlatformError, ReplicationError, psycopg.Error, OSError) as error:
        print(str(error).strip(), file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
