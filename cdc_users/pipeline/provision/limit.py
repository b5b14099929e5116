"""A time limit for calls that cannot be interrupted, such as those of a client library to a stopped
server.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NoReturn, TypeVar

from cdc_users.error import TargetError

Returned = TypeVar("Returned")


class TimeLimitError(TargetError):
    """An action has exceeded its limit; the message names the action."""


def within(
    limit_s: float, what: str, action: Callable[[], Returned], *, lives_on: bool = False
) -> Returned:
    """The result or error of an action; raises TimeLimitError if the action exceeds its limit.

    The action then goes on in a thread that ends with the process, because nothing can stop it.
    With `lives_on` the thread stays alive after the action. A child process that the action started
    is tied to this thread and not to the whole process (prctl(2), PR_SET_PDEATHSIG), and would be
    killed with the thread.
    """
    ended: SimpleQueue[Callable[[], Returned]] = SimpleQueue()

    def carry_out() -> None:
        try:
            result = action()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            failure = error
            ended.put(lambda: _raise(failure))
        else:
            ended.put(lambda: result)
        if lives_on:
            Event().wait()

    Thread(target=carry_out, name=what, daemon=True).start()
    try:
        return ended.get(timeout=limit_s)()
    except Empty:
        raise TimeLimitError(f"{what} has taken longer than {limit_s:g} s") from None


def _raise(error: BaseException) -> NoReturn:
    raise error
