"""A relay hands on every byte in order, whatever the network is like meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from infra.faults.relay import HOST, Relay, Trouble
from infra.stack.servers.port import BESIDE

LIMIT_S = 30.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with closing(socket.create_server((HOST, 0))) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with closing(connection):
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def relay(echo: int) -> Relay:
    made = Relay(HOST, echo)
    made.start()
    return made


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection((HOST, relay.port), timeout=LIMIT_S)


def received(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = client.recv(65536)
        assert chunk, "the connection ended"
        found += chunk
    return found


def sent_back(client: socket.socket, data: bytes) -> bytes:
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    found = received(client, len(data))
    sender.join()
    return found


def test_every_byte_comes_in_order_and_the_end_is_handed_on(relay: Relay) -> None:
    data = bytes(range(256)) * 4000
    with closing(connected(relay)) as client:
        assert sent_back(client, data) == data
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_a_slow_network_takes_its_time_in_each_direction(relay: Relay) -> None:
    relay.trouble(Trouble(latency_s=0.15, jitter_s=0.05))
    with closing(connected(relay)) as client:
        began_s = time.monotonic()
        assert sent_back(client, b"ping") == b"ping"

        assert time.monotonic() - began_s >= 0.3


def test_a_jittery_network_keeps_the_order(relay: Relay) -> None:
    relay.trouble(Trouble(latency_s=0.001, jitter_s=0.05))
    data = b"".join(number.to_bytes(4, "big") for number in range(2000))
    with closing(connected(relay)) as client:
        for start in range(0, len(data), 400):
            client.sendall(data[start : start + 400])
        assert received(client, len(data)) == data


def test_a_narrow_network_lets_so_many_bytes_through_and_no_more(relay: Relay) -> None:
    relay.trouble(Trouble(bytes_per_s=200_000))
    with closing(connected(relay)) as client:
        began_s = time.monotonic()
        assert sent_back(client, bytes(60_000)) == bytes(60_000)

        assert time.monotonic() - began_s >= 0.3


def test_what_a_silent_network_holds_back_comes_when_it_speaks_again(relay: Relay) -> None:
    with closing(connected(relay)) as client:
        assert sent_back(client, b"before") == b"before"
        relay.trouble(Trouble(silent=True))
        client.sendall(b"meanwhile")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)

        relay.trouble(Trouble())
        client.settimeout(LIMIT_S)
        assert received(client, 9) == b"meanwhile"


def test_a_reset_breaks_what_is_open_and_nothing_after_it(relay: Relay) -> None:
    with closing(connected(relay)) as client:
        assert sent_back(client, b"before") == b"before"
        relay.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with closing(connected(relay)) as again:
        assert sent_back(again, b"after") == b"after"


def test_a_half_open_connection_says_nothing_until_it_is_broken_too(relay: Relay) -> None:
    with closing(connected(relay)) as client:
        assert sent_back(client, b"before") == b"before"
        relay.desert()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        with closing(connected(relay)) as whole:
            assert sent_back(whole, b"later") == b"later"

        relay.tell_deserted()
        client.settimeout(LIMIT_S)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_relay_may_stand_at_the_servers_own_port_beside_it(echo: int) -> None:
    beside = Relay(HOST, echo)

    assert beside.start(BESIDE, echo) == echo
    with closing(socket.create_connection((BESIDE, echo), timeout=LIMIT_S)) as client:
        assert sent_back(client, b"beside") == b"beside"


def test_a_server_that_is_not_there_is_a_broken_connection() -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        free = taken.getsockname()[1]
    nowhere = Relay(HOST, free)
    nowhere.start()
    # The reset may be there before the connection is known to be.
    with pytest.raises(ConnectionResetError), closing(connected(nowhere)) as client:
        client.recv(1)
