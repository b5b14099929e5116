"""A TCP relay in front of a server: slow, narrow, silent or cut, without root.

It runs an event loop in a thread of its own and ends with its process. Data that it holds back is
not lost: it passes the data on later, as TCP would send it again once a real network is repaired.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread

HOST = "127.0.0.1"
START_S = 10.0
CHUNK_BYTES = 65_536
#: How many bytes may be on their way in one direction, as in the buffers of a real path.
IN_FLIGHT = 64
#: Closing a socket with this option sends a reset (socket(7), SO_LINGER).
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A network's trouble: each chunk is late by `latency_s` and up to `jitter_s` more; at most
    `bytes_per_s` pass (0: no limit); nothing passes if it is `silent`.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    silent: bool = False


@dataclass(slots=True)
class _Flow:
    """One direction of one connection: chunks in order, each with the time at which it is due."""

    chunks: asyncio.Queue[tuple[float, bytes]] = field(
        default_factory=lambda: asyncio.Queue(IN_FLIGHT)
    )
    last_due_s: float = 0.0

    def due_s(
        self, now_s: float, size: int, trouble: Trouble, chance: Callable[[], float]
    ) -> float:
        """When a chunk that arrives now is passed on; never before the previous one."""
        late_s = trouble.latency_s + trouble.jitter_s * chance()
        begins_s = max(now_s + late_s, self.last_due_s)
        passing_s = size / trouble.bytes_per_s if trouble.bytes_per_s else 0.0
        self.last_due_s = begins_s + passing_s
        return self.last_due_s


class Relay:
    """Passes connections on to a server; call `start` first."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self._upstream = (host, port)
        self._trouble = Trouble()
        self._passing: asyncio.Event
        self._chance = random.Random(seed).random  # noqa: S311 - repeatable, and no secret
        self._loop: asyncio.AbstractEventLoop
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        #: Clients whose server is gone and that have not been notified.
        self._deserted: list[asyncio.StreamWriter] = []
        self._ready = Event()
        self.port = 0

    def start(self, host: str = HOST, port: int = 0) -> int:
        """Begin to listen on loopback; returns the port. Raises OSError if the port is taken; on
        macOS also at BESIDE, unless that address was created (`ifconfig lo0 alias 127.0.0.2`).
        """
        listening = socket.create_server((host, port))
        Thread(target=self._run, args=(listening,), name="relay", daemon=True).start()
        if not self._ready.wait(START_S):
            raise OSError(f"the relay does not listen within {START_S:g} s")
        return self.port

    def trouble(self, trouble: Trouble) -> None:
        """Give the network this trouble from now on."""
        self._do(lambda: self._change(trouble))

    def reset(self) -> None:
        """Break all connections with a reset, on both sides."""
        self._do(self._cut_all)

    def desert(self) -> None:
        """Break all connections with a reset on the server's side only: their clients still see
        them, and nothing arrives. Later connections are not affected.
        """
        self._do(self._desert_all)

    def tell_deserted(self) -> None:
        """Break the connections that `desert` has left half open."""
        self._do(self._cut_deserted)

    def _do(self, action: Callable[[], None]) -> None:
        done = Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait(START_S)

    def _cut_all(self) -> None:
        for pair in self._pairs:
            for writer in pair:
                _cut(writer)

    def _desert_all(self) -> None:
        self._deserted += [client for client, _ in self._pairs]
        for _, server in self._pairs:
            _cut(server)

    def _cut_deserted(self) -> None:
        for client in self._deserted:
            _cut(client)
        self._deserted.clear()

    def _change(self, trouble: Trouble) -> None:
        self._trouble = trouble
        if trouble.silent:
            self._passing.clear()
        else:
            self._passing.set()

    def _run(self, listening: socket.socket) -> None:
        asyncio.run(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> None:
        self._loop, self._passing = asyncio.get_running_loop(), asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._connected, sock=listening)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        try:
            there, upstream = await asyncio.open_connection(*self._upstream)
        except OSError:
            _cut(writer)
            return
        pair = (writer, upstream)
        self._pairs.add(pair)
        try:
            forth = self._loop.create_task(self._hand_on(reader, upstream))
            back = self._loop.create_task(self._hand_on(there, writer))
            await asyncio.gather(forth, back)
        finally:
            self._pairs.discard(pair)
            upstream.close()
            if writer not in self._deserted:
                writer.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one direction, until it ends."""
        flow = _Flow()
        taking = self._loop.create_task(self._take(reader, flow))
        with contextlib.suppress(OSError):
            while True:
                due_s, chunk = await flow.chunks.get()
                if not chunk:
                    break
                await asyncio.sleep(max(0.0, due_s - self._loop.time()))
                await self._passing.wait()
                writer.write(chunk)
                await writer.drain()
            if writer not in self._deserted and writer.can_write_eof():
                writer.write_eof()
        taking.cancel()

    async def _take(self, reader: asyncio.StreamReader, flow: _Flow) -> None:
        while True:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except OSError:
                chunk = b""
            due_s = flow.due_s(self._loop.time(), len(chunk), self._trouble, self._chance)
            await flow.chunks.put((due_s, chunk))
            if not chunk:
                return


def _cut(writer: asyncio.StreamWriter) -> None:
    """Close a connection by a reset."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
