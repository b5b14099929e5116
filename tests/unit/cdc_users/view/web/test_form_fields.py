"""What the form may set, what it shows, and what a request is refused for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc_users.options.groups import NOT_IN_FORM
from cdc_users.options.options import BY_NAME
from cdc_users.options.proposal import Proposal
from cdc_users.view.web import form
from tests.unit.made_run import state

pytestmark = pytest.mark.gevent

WITHHELD = next(iter(NOT_IN_FORM))


class Writer:
    """The user class that writes."""


def proposed(**changes: Any) -> form.FormCheck:
    made = SimpleNamespace(
        user=Writer,
        scenario=SimpleNamespace(name="throughput"),
        steps=[state().step],
        course=SimpleNamespace(undecided_s=0.0),
        skipped=["left out: one"],
    )
    vars(made).update(changes)
    return form.FormCheck(proposal=cast(Proposal, made))


@pytest.mark.parametrize(
    ("picked", "taken"),
    [([], True), (["Writer"], True), (["Other", "Writer"], True), (["Other"], False)],
)
def test_a_run_starts_only_with_the_user_class_that_writes(picked: list[str], taken: bool) -> None:
    checked = form.with_users(proposed(), picked)

    assert (checked.proposal is not None) is taken
    assert taken or checked.message == (
        "the scenario throughput writes with Writer; pick that user class as well"
    )


def test_a_form_with_mistakes_keeps_them_whoever_is_picked() -> None:
    wrong = form.FormCheck(["one", "two"])

    assert form.with_users(wrong, ["Other"]) is wrong
    assert wrong.message == "one · two"


def test_options_of_the_command_line_are_not_shown_and_those_of_the_user_are() -> None:
    locusts: dict[str, form.LocustField] = {WITHHELD: {}, "rows": {}, "users_own": {}}

    assert form.shown(locusts) == {"rows", "users_own"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"results": "/elsewhere"}, ["--results"]),
        ({"results": "results"}, []),
        ({"platform": ""}, []),
        ({"platform": "x"}, ["--platform"]),
        ({"quiet": "False"}, ["--quiet"]),
        ({"rows": "5"}, []),
        ({"no_such_option": "5"}, []),
        ({"results": "a", "platform": "b"}, ["--results", "--platform"]),
        ({}, []),
    ],
)
def test_what_a_request_would_change_of_the_command_line_is_named(
    given: dict[str, str], told: list[str]
) -> None:
    frozen = {"results": "results", "platform": None, "quiet": False, "rows": "1"}

    assert form.forbidden(given, frozen, frozenset({"rows"})) == told


def test_fields_stand_in_our_order_with_choices_and_without_what_is_withheld() -> None:
    plain = {"default_value": "x", "is_secret": False, "help_text": "help", "choices": None}
    secret = {**plain, "is_secret": True}
    locusts = {"users_own": secret, "sink": plain, "rows": plain, WITHHELD: plain}
    found = form.fields(locusts)

    assert list(found) == ["rows", "sink", "users_own"]
    assert (found["rows"]["choices"], found["rows"]["help_text"]) == (None, "")
    assert found["sink"]["choices"] == ["", *BY_NAME["sink"].choices]
    assert (found["rows"]["default_value"], found["users_own"]["default_value"]) == ("x", "")
    assert form.secrets(locusts) == ["users_own"]
    assert locusts["users_own"]["default_value"] == "x", "Locust's own description stays as it is"


def test_a_plan_is_shown_in_arrivals_and_events() -> None:
    shown = form.plan(proposed(steps=[replace(state().step, rows_per_arrival=3)]))

    assert shown["mistakes"] == []
    (row,) = shown["steps"]
    assert (row["arrivals"], row["events"], row["duration_s"], row["lanes"]) == (
        1000,
        3000,
        10.0,
        8,
    )
    assert (shown["follows"], shown["skipped"]) == ("", ["left out: one"])


def test_what_follows_a_search_is_told_in_minutes_at_most() -> None:
    searching = proposed(course=SimpleNamespace(undecided_s=90.0))

    assert form.plan(searching)["follows"].endswith("1.5 minutes at most")


def test_a_plan_that_cannot_be_has_its_mistakes_and_nothing_else() -> None:
    shown = form.plan(form.FormCheck(["no"]))

    assert list(shown.values()) == [["no"], [], "", []]
