"""Makes Locust's parser of options once, so that a worker's event loop does not stand still
for it.
"""

from __future__ import annotations

import functools

from locust import argument_parser


def know_locusts_options() -> None:
    """Have Locust make the parser of its own options only once.

    Locust makes one for each option that a master sends, at 3 ms each
    (`WorkerRunner.handle_message`). With all of our options a worker would stand still for half a
    second, and on a busy machine so long that its master gives it up. A second call changes
    nothing.
    """
    known = argument_parser.default_args_dict
    if not hasattr(known, "cache_info"):
        argument_parser.default_args_dict = functools.cache(known)


#: Values that Locust's parser derives from all its actions on each access: 0.4 s a page with ours.
DERIVED = (
    "args_included_in_web_ui",
    "secret_args_included_in_web_ui",
    "required_args_included_in_web_ui",
    "multiple_args_included_in_web_ui",
)


def derive_once() -> None:
    """Have a parser keep the values that it derives for the web form.

    Their only reader, `ui_extra_args_dict`, makes its own parser and reads them once the parser is
    complete. A second call changes nothing.
    """
    parser = argument_parser.LocustArgumentParser
    for name in DERIVED:
        derived = vars(parser)[name]
        if isinstance(derived, property) and derived.fget is not None:
            kept = functools.cached_property(derived.fget)
            kept.__set_name__(parser, name)
            setattr(parser, name, kept)
