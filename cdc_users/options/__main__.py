"""`python -m cdc_users.options` prints the page that explains every option (docs/options.md)."""

from __future__ import annotations

import signal

from cdc_users.options.page import options_page, scenario_shapes

if __name__ == "__main__":
    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # end silently when `| head` closes the pipe, as other programs do
    print(options_page(scenario_shapes()))
