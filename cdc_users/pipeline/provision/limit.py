"""A limit for what cannot be interrupted: a call into a client library whose server has stopped."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NoReturn, TypeVar

from cdc_users.error import TargetError

Returned = TypeVar("Returned")


class TimeLimitError(TargetError):
    """Something has not ended within its limit; the message names it."""


def within(
    limit_s: float, what: str, action: Callable[[], Returned], *, lives_on: bool = False
) -> Returned:
    """What an action returns or raises; raises TimeLimitError when it has not ended in time.

    The action goes on in a thread that ends with the process: nothing can stop it, and nobody waits
    for it any more. With `lives_on` the thread stays when the action has ended: a child process
    that the action has started is tied to this thread and not to the whole process (prctl(2),
    PR_SET_PDEATHSIG), and would be killed with it.
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
