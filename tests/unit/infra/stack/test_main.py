"""What `python -m infra.stack` and its page say about the same thing."""

from __future__ import annotations

import pytest

from infra.stack.__main__ import parser, up
from infra.stack.error import StackConfigError
from infra.stack.find.external import VARIABLES
from infra.stack.servers.port import WELL_KNOWN
from infra.stack.supervise.state import CHECKOUT

PAGE = (CHECKOUT / "docs" / "stack.md").read_text(encoding="utf-8")


def test_the_well_known_ports_are_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["up", "--help"])

    told = capsys.readouterr().out
    (said,) = [
        paragraph for paragraph in PAGE.split("\n\n") if "`--ports well-known` (" in paragraph
    ]
    assert all(str(port) in told and str(port) in said for port in WELL_KNOWN.values())


def test_an_own_stack_that_is_not_named_is_told_what_it_needs_and_what_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CDC_STACK", *VARIABLES):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(
        StackConfigError,
        match=r"CDC_CONNECT_URL, CDC_POSTGRES_FROM_CONNECT \(optional\), .*\(optional\), or a file",
    ):
        up(parser().parse_args(["up", "--kind", "external"]))
