"""What a run gathers while it goes on."""

from __future__ import annotations

from cdc_users.step.state import Facts


def test_what_cannot_be_removed_twice_is_said_once() -> None:
    facts = Facts()

    facts.leave_behind(["topic 'a': no answer"])
    facts.leave_behind(["topic 'a': no answer", "slot 'b': in use"])

    assert facts.notes == ["left behind: topic 'a': no answer", "left behind: slot 'b': in use"]
