"""What a worker takes over of its master's options, without stopping its event loop for it."""

from __future__ import annotations

import functools

from locust import argument_parser


def know_locusts_options() -> None:
    """Have Locust make the parser of its own options once.

    It makes one for each option that a master sends, 3 ms each (`WorkerRunner.handle_message`).
    With all of ours a worker stands still for half a second, and on a busy machine for so long that
    its master gives it up. Doing it twice changes nothing.
    """
    known = argument_parser.default_args_dict
    if not hasattr(known, "cache_info"):
        argument_parser.default_args_dict = functools.cache(known)
