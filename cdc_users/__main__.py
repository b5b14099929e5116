"""`python -m cdc_users` lists the commands: the scenarios, and the programs around them."""

from __future__ import annotations

import signal
import sys

from cdc_users.options.page import scenario_shapes

PROGRAMS = {
    "make bench": "every scenario on real servers, one table",
    "make ui": "Locust's web UI with every scenario",
    "python -m infra.stack up | status | logs | down": "the servers that runs share",
    "python -m cdc_users.bench --help": "some scenarios after another, one table",
    "python -m cdc_users.pipeline check | init FILE": "a pipeline of your own in one file",
    "python -m cdc_users.options": "every option, as Markdown (docs/options.md)",
    "python -m cdc_users.report results/*/": "a run's table and report again, from its files",
    "python -m infra.platform --help": "the reference platform by itself",
    "python -m infra.platform.wal --help": "the direct reader by itself",
}


def overview() -> str:
    """The list, as text."""
    lines = ["Scenarios (`locust -f FILE --help` shows the options of one):\n"]
    for shape in scenario_shapes():
        name = shape.scenario.name
        lines += [
            f"  locust -f locustfiles/{name}.py --headless",
            f"      {shape.scenario.question}",
        ]
    lines.append("\nPrograms:\n")
    width = max(map(len, PROGRAMS))
    lines += [f"  {command:<{width}}  {what}" for command, what in PROGRAMS.items()]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the list; any argument is a mistake."""
    if [word for word in arguments if word not in ("-h", "--help")]:
        print(
            f"python -m cdc_users takes no {arguments[0]!r}; it lists what can be called",
            file=sys.stderr,
        )
        return 2
    print(overview())
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as any program that `| head` ends
    sys.exit(main(sys.argv[1:]))
