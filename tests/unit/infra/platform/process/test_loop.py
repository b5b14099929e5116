"""The platform's event loop wakes when a timer is due, and for everything else as any loop does."""

from __future__ import annotations

import asyncio
import select
import socket
from unittest import mock

from infra.platform.process.loop import new_loop


def test_a_wait_is_not_rounded_to_milliseconds() -> None:
    with (
        mock.patch("infra.platform.process.loop.select.select", wraps=select.select) as waited,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        runner.run(asyncio.sleep(0.05))

    waits_ms = [1000 * call.args[3] for call in waited.call_args_list if call.args[3]]
    assert any(abs(wait_ms - round(wait_ms)) > 1e-6 for wait_ms in waits_ms)


def test_what_is_ready_ends_a_wait_before_its_time() -> None:
    async def hear() -> bytes:
        left, right = socket.socketpair()
        with left, right:
            right.setblocking(False)
            loop = asyncio.get_running_loop()
            hearing = asyncio.create_task(loop.sock_recv(right, 10))
            await loop.run_in_executor(None, left.send, b"hello")
            return await asyncio.wait_for(hearing, 60)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(hear()) == b"hello"
