"""The observer's configuration, when it is none."""

from __future__ import annotations

from io import StringIO

from cdc_users.observe.__main__ import main


def test_a_line_that_is_no_configuration_is_not_repeated() -> None:
    stderr = StringIO()

    assert main(StringIO('{"taps": [{"password": "hush"\n'), stderr) == 2
    assert "one line of JSON is needed" in stderr.getvalue()
    assert "hush" not in stderr.getvalue()
