"""Locust's knowledge of its own and our options, without stopping the event loop for it."""

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


#: What Locust's parser derives from all its actions at each look: 0.4 s with ours, for one page.
DERIVED = (
    "args_included_in_web_ui",
    "secret_args_included_in_web_ui",
    "required_args_included_in_web_ui",
    "multiple_args_included_in_web_ui",
)


def derive_once() -> None:
    """Have a parser keep what it derives for the web form.

    `ui_extra_args_dict`, the only reader, makes a parser of its own and looks when it is complete.
    Doing it twice changes nothing.
    """
    parser = argument_parser.LocustArgumentParser
    for name in DERIVED:
        derived = vars(parser)[name]
        if isinstance(derived, property) and derived.fget is not None:
            kept = functools.cached_property(derived.fget)
            kept.__set_name__(parser, name)
            setattr(parser, name, kept)
