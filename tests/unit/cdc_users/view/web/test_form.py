"""The form: what a request may not change."""

from __future__ import annotations

from cdc_users.view.web import form


def test_a_value_that_the_command_line_gave_may_come_back_from_the_form() -> None:
    assert form.forbidden({"platform": "reference"}, {"platform": "reference"}, frozenset()) == []
    assert form.forbidden({"platform": ""}, {"platform": None}, frozenset()) == []
    assert form.forbidden({"platform": "rm -rf /"}, {"platform": "reference"}, frozenset()) == [
        "--platform"
    ]
