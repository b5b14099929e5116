"""Makes `locust -f FILE --help` show the scenario's options, although Locust prints its help before
it reads a locustfile.

gevent calls `on_patched` when it has patched the standard library, which is the first thing that
Locust does (entry point `gevent.plugins.monkey.did_patch_all` in pyproject.toml; gevent's
documentation, "gevent.events"). It does nothing unless Locust is starting, and help is asked for or
there is no locustfile.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from cdc_users.error import OptionsError
from cdc_users.run.locust.locustfile import is_locust, mistakes
from cdc_users.run.locust.refusal import refuse

HINT = """

Options of CDC scenarios: locust -f locustfiles/throughput.py --help, or docs/options.md
(python -m cdc_users lists the scenarios)."""
#: Replaces Locust's examples, whose options have no effect with a scenario.
EXAMPLES = """Examples (README.md has more):

    {0} --headless
    {0} --headless --smoke yes
    {0} --headless --threshold 'end_to_end.p99 < 1s' --html run.html

docs/options.md explains every option of the groups CDC; the others are Locust's own."""


def on_patched(_: object) -> None:
    """Have the locustfile read before help is printed, and refuse a missing one."""
    if "locust" not in sys.modules:
        return
    if is_locust(sys.orig_argv) and (found := mistakes(sys.argv[1:], os.environ, Path.cwd())):
        refuse(OptionsError(found))
    if not {"-h", "--help"} & set(sys.argv[1:]):
        return
    # Locust's package is being imported; only this one module of it is complete.
    from locust.event import Events

    original = Events.__init__

    def once(self: Events) -> None:
        Events.__init__ = original  # type: ignore[method-assign]
        original(self)  # type: ignore[no-untyped-call]
        self.init_command_line_parser.add_listener(_load)  # type: ignore[no-untyped-call]

    Events.__init__ = once  # type: ignore[method-assign]


def _load(parser: Any) -> None:
    """Read the locustfile, whose scenario then adds its options to the parser."""
    from locust.argument_parser import get_empty_argument_parser, parse_locustfile_paths
    from locust.util.load_locustfile import load_locustfile

    named, _ = get_empty_argument_parser(add_help=False).parse_known_args()
    paths = [part.strip() for part in named.locustfile.split(",") if Path(part.strip()).exists()]
    for path in parse_locustfile_paths(paths):
        load_locustfile(path)
    hooks = sys.modules.get("cdc_users.run.locust.hooks")
    if hooks is not None:
        hooks.extend(parser)
        parser.epilog = EXAMPLES.format(f"locust -f {named.locustfile}")
    elif not paths:
        parser.epilog += HINT
