"""Routes and guards on Locust's real web application: the form, the login, other origins, secrets,
downloads.
"""

from __future__ import annotations

import csv
import io
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from flask.testing import FlaskClient
from locust import LoadTestShape, User, argument_parser, task
from locust.env import Environment

from cdc_users.error import OptionsError
from cdc_users.options.groups import NOT_IN_FORM
from cdc_users.options.options import BY_NAME, OPTIONS, Options, read_alone
from cdc_users.options.proposal import Proposal, ShapeDeclaration, propose
from cdc_users.report import remake
from cdc_users.scenario import FixedCourse, Scenario, Step
from cdc_users.shapes.volume import paced_steps, volume_steps
from cdc_users.view.run_view import RunView
from cdc_users.view.web import extension, login, run_files
from cdc_users.view.web.archive import Archive
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun

pytestmark = pytest.mark.gevent

CANARY = "canary-7f3a9c"
EVIL = "</script><img src=x onerror=alert(1)>"


class Writer(User):
    @task
    def nothing(self) -> None:
        pass


class Shape(LoadTestShape):
    """A shape with a scenario, without the registration that a declared one makes."""

    scenario: ClassVar[Scenario] = Scenario(
        "made", question=f"How fast is {EVIL}?", defaults={"rows": "100"}
    )
    kind = "made"
    reads: ClassVar[tuple[str, ...]] = ()
    foremost: ClassVar[tuple[str, ...]] = ()
    idle: ClassVar[Mapping[str, str]] = {"records": "use --rows"}

    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return (volume_steps if options.rows else paced_steps)("made", options)

    @classmethod
    def user(cls, _: Options) -> type[User]:
        return Writer

    @classmethod
    def course(cls, _: Options, steps: Sequence[Step]) -> FixedCourse:
        return FixedCourse(steps)

    @classmethod
    def skipped(cls, _: Options) -> tuple[str, ...]:
        return ()

    def tick(self) -> None:
        return None


class Page:
    """Locust's application with ours in it, a run that a test chooses, and a note of what was
    started.
    """

    #: As `--web-names` gives them.
    names = ""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, login: bool = False) -> None:
        monkeypatch.setattr("sys.argv", ["locust"])
        monkeypatch.setenv("PGPASSWORD", CANARY)
        monkeypatch.setattr(argument_parser, "ui_extra_args_dict", _described)
        monkeypatch.setattr(extension, "ui_extra_args_dict", _described)
        self.run: RunView | None = None
        self.started: list[dict[str, Any]] = []
        self.prepared: list[Proposal] = []
        self.parsed = _namespace()
        self.parsed.web_names = self.names
        self.environment = Environment(
            user_classes=[Writer],
            # Locust's types say instances; it keeps the classes.
            available_user_classes={"Writer": Writer},  # type: ignore[dict-item]
            available_shape_classes={"Shape": _shape()},
            shape_class=_shape(),
            parsed_options=self.parsed,
        )
        self.environment.create_local_runner()
        ui = self.environment.create_web_ui(
            "127.0.0.1", 0, delayed_start=True, web_login=login, userclass_picker_is_active=True
        )
        assert ui.app is not None
        ui.app.config["SECRET_KEY"] = "for the tests"
        ui.app.view_functions["locust.swarm"] = self._swarm
        extension.install(self.environment, lambda: self.run, self._prepare)
        self.client: FlaskClient = ui.app.test_client()

    def _prepare(self, shape: ShapeDeclaration, source: Mapping[str, Any]) -> Proposal:
        self.prepared.append(propose(shape, source))
        return self.prepared[-1]

    def _swarm(self) -> dict[str, Any]:
        self.started.append({"secret": self.parsed.token})
        self.parsed.token = ""
        return {"success": True}

    def told(self, route: str) -> Any:
        return self.client.get(route).get_json()

    def start(self, headers: Any = None, **form: str) -> Any:
        return self.client.post(
            "/swarm",
            data={"shape_class": "Shape", "user_classes": "Writer", **form},
            headers=headers,
        )


def _shape() -> LoadTestShape:
    made: LoadTestShape = Shape()  # type: ignore[no-untyped-call]
    return made


def _namespace() -> Any:
    parsed = argument_parser.parse_options(args=[])
    for option in OPTIONS:
        setattr(parsed, option.name, "")
    parsed.token = CANARY
    return parsed


def _described(args: Any = None) -> dict[str, dict[str, Any]]:
    field = {"is_required": False, "is_multiple": False, "choices": None}
    ours = {
        option.name: {"default_value": "", "is_secret": False, "help_text": option.help, **field}
        for option in OPTIONS
    }
    return {**ours, "token": {"default_value": CANARY, "is_secret": True, "help_text": "", **field}}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    made = Page(monkeypatch)
    yield made
    assert made.environment.runner is not None
    made.environment.runner.quit()


ROUTES = (
    "/cdc/state",
    "/cdc/plan",
    "/cdc/statistics.csv",
    "/cdc/timeline.csv",
    "/cdc/result.json",
    "/cdc/report.html",
    "/cdc/static/tab.js",
    "/cdc/static/uplot/uPlot.iife.min.js",
    "/cdc/runs",
    "/cdc/runs/20261124T000000Z-throughput-abcd1234/report.html",
    "/metrics",
)


def test_every_route_needs_the_login_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = Page(monkeypatch, login=True)
    locked.environment.web_ui.login_manager.user_loader(lambda _: None)  # type: ignore[union-attr]

    for route in (*ROUTES, "/"):
        answer = locked.client.get(route)
        assert (answer.status_code, "/login" in answer.headers.get("Location", "")) == (
            302,
            True,
        ), route
    assert locked.start().status_code == 302
    assert locked.started == []


def test_other_origins_may_read_nothing_of_ours(page: Page) -> None:
    page.run = MadeRun()
    for route in ROUTES:
        answer = page.client.get(route, headers={"Origin": "http://evil.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers, route


LOCUSTS = (
    "/",
    "/logs",
    "/stats/requests",
    "/stats/report",
    "/exceptions",
    "/tasks",
    "/worker-count",
    "/stats/requests/csv",
)


@pytest.mark.parametrize("route", [*ROUTES, *LOCUSTS])
def test_no_answer_is_for_another_origin(page: Page, route: str) -> None:
    page.run = MadeRun()
    answer = page.client.get(route, headers={"Origin": "http://evil.example"})

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("route", ["/swarm", "/stop", "/stats/reset", "/user"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://["]
)
def test_no_page_of_another_origin_changes_anything(page: Page, route: str, origin: str) -> None:
    reset: list[str] = []
    page.environment.stats.clear_all = lambda: reset.append("reset")  # type: ignore[method-assign]

    assert page.client.post(route, json={}, headers={"Origin": origin}).status_code == 403
    assert page.client.options(route, headers={"Origin": origin}).status_code in (200, 204)
    assert not reset
    assert page.started == []


@pytest.mark.parametrize("route", [*ROUTES, *LOCUSTS, "/login", "/assets/x.js"])
@pytest.mark.parametrize("name", ["evil.example", "evil.example:8089", "127.0.0.1.evil.example"])
def test_a_name_that_was_rebound_reads_nothing(page: Page, route: str, name: str) -> None:
    answer = page.client.get(route, headers={"Host": name})

    assert (answer.status_code, b"--web-names" in answer.data) == (421, True)
    assert page.client.post("/swarm", data={}, headers={"Host": name}).status_code == 421
    assert page.started == []


@pytest.mark.parametrize(
    "name", ["127.0.0.1:8089", "localhost", "[::1]:8089", "192.0.2.7", socket.gethostname()]
)
def test_an_address_and_this_machines_name_may_ask(page: Page, name: str) -> None:
    assert page.client.get("/cdc/state", headers={"Host": name}).status_code == 200


def test_a_name_that_the_command_line_gives_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "names", "Bench.Example, other")
    page = Page(monkeypatch)

    assert page.client.get("/cdc/state", headers={"Host": "bench.example:1"}).status_code == 200
    assert page.client.get("/cdc/state", headers={"Host": "third.example"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_page_of_another_origin_starts_nothing(page: Page, headers: dict[str, str]) -> None:
    assert page.start(headers).status_code == 403
    assert page.started == []


def test_the_same_origin_and_a_script_may_start(page: Page) -> None:
    assert page.start({"Origin": "http://localhost"}).json == {"success": True}
    assert page.start().json == {"success": True}


def test_what_was_read_of_the_form_is_handed_on_to_the_run(page: Page) -> None:
    page.start(rows="1k")

    (prepared,) = page.prepared
    assert prepared.options.rows == (1000,)
    assert [step.schedule.count for step in prepared.steps] == [1000]


def test_a_wrong_value_is_explained_and_starts_nothing(page: Page) -> None:
    told = page.start(rows="many", lanes="0").json

    assert told["success"] is False
    assert "--rows: 'many' is not a whole number" in told["message"]
    assert "--lanes" in told["message"]
    assert page.started == []


def test_an_option_that_the_scenario_does_not_read_starts_nothing(page: Page) -> None:
    assert page.start(records="5").json["message"] == "--records does nothing in made; use --rows"
    assert page.started == []


def test_the_writer_of_a_scenario_must_be_picked(page: Page) -> None:
    assert "pick that user class" in page.start(user_classes="Another").json["message"]


def test_a_second_run_waits_for_the_first_ones_verdict(page: Page) -> None:
    page.run = MadeRun()
    assert "still going on" in page.start().json["message"]

    for ended in (MadeRun(result=result()), MadeRun(over=True)):
        page.run = ended
        assert page.start().json == {"success": True}


@pytest.mark.parametrize("name", NOT_IN_FORM)
def test_what_belongs_to_the_command_line_cannot_come_from_the_form(page: Page, name: str) -> None:
    assert "command line" in page.start(**{name: "x"}).json["message"]
    assert page.started == []
    assert f'"{name}"' not in page.client.get("/").text


LOCUSTS_FILES = (
    "csv_prefix",
    "html_file",
    "json_file",
    "logfile",
    "locustfile",
    "web_host",
    "headless",
)


@pytest.mark.parametrize("name", ["weight", "fixed_count", "host", "on_start"])
def test_no_request_changes_a_user_class(page: Page, name: str) -> None:
    before = vars(Writer).copy()
    answer = page.client.post("/user", json={"user_class_name": "Writer", name: 7, "tasks": []})

    assert answer.status_code == 403
    assert "change them there" in answer.get_data(as_text=True)
    assert vars(Writer) == before


@pytest.mark.parametrize("name", [*NOT_IN_FORM, *LOCUSTS_FILES])
@pytest.mark.parametrize("shape", ["Shape", "Default", "Nobody", ""])
def test_no_request_stores_what_belongs_to_the_command_line(
    page: Page, name: str, shape: str
) -> None:
    before = dict(vars(page.parsed))
    told = page.start(shape_class=shape, **{name: "/bin/touch somewhere"}).json

    assert (told["success"], page.started) == (False, [])
    assert vars(page.parsed) == before


@pytest.mark.parametrize("shape", ["Default", "Nobody"])
def test_a_start_names_a_scenario(page: Page, shape: str) -> None:
    assert "pick a shape class: Shape" in page.start(shape_class=shape).json["message"]
    assert page.started == []


def test_an_option_that_was_changed_behind_the_form_has_its_first_value_when_a_test_starts(
    page: Page,
) -> None:
    page.parsed.platform = "/bin/touch somewhere"
    page.start()

    assert page.started
    assert page.parsed.platform == ""


def test_the_plan_of_a_form_is_shown_before_it_is_started(page: Page) -> None:
    told = page.told("/cdc/plan?shape_class=Shape&rows=20,30")

    assert [step["arrivals"] for step in told["steps"]] == [20, 30]
    assert page.told("/cdc/plan?shape_class=Shape&rows=x")["mistakes"]
    nothing = {"mistakes": [], "steps": [], "skipped": [], "follows": ""}
    assert page.told("/cdc/plan?shape_class=Nobody") == nothing


def test_the_form_has_the_options_in_groups_and_in_order(page: Page) -> None:
    text = page.client.get("/").text

    assert text.index('"rows": {') < text.index('"lanes": {') < text.index('"drain_timeout": {')
    assert '"title": "Load"' in text
    assert '"choices": ["", "single", "values"' in text


def test_nothing_of_a_scenario_ends_a_script_of_the_page(page: Page) -> None:
    assert EVIL not in page.client.get("/").text


def test_a_secret_is_neither_on_the_page_nor_lost_by_it(page: Page) -> None:
    page.run = MadeRun(result=result())
    for route in ("/", *ROUTES):
        assert CANARY not in page.client.get(route).text, route

    page.start(token="")
    assert page.parsed.token == CANARY


def test_downloads_wait_for_the_conclusion(page: Page) -> None:
    for route in ("/cdc/statistics.csv", "/cdc/result.json", "/cdc/report.html"):
        page.run = MadeRun()
        answer = page.client.get(route)
        assert answer.status_code == 404
        assert "has not concluded" in answer.text


def test_downloads_hold_what_the_run_came_to(page: Page, tmp_path: Path) -> None:
    page.run = run = MadeRun(result=result(), directory=tmp_path)
    (tmp_path / "result.json").write_bytes(orjson.dumps(result().to_json()))
    remake.write(tmp_path, result())

    rows = list(csv.DictReader(io.StringIO(page.client.get("/cdc/statistics.csv").text)))
    assert {row["series"] for row in rows} == set(result().steps[0].latency_ms)
    assert len(list(csv.DictReader(io.StringIO(page.client.get("/cdc/timeline.csv").text)))) == len(
        run.moments
    )
    assert page.told("/cdc/result.json") == result().to_json()
    shown = page.client.get("/cdc/report.html")
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert shown.headers["Content-Disposition"].startswith("inline")


def test_a_question_for_what_has_not_been_yet_gets_the_whole_state(page: Page) -> None:
    page.run = MadeRun()

    assert page.told("/cdc/state?run=abcd1234&since=99999")["first"] == 0


@pytest.mark.parametrize("since", ["²", "-1", "1e3", "x", "", "9" * 5000])
def test_a_state_since_no_whole_number_is_a_mistake_of_the_request(page: Page, since: str) -> None:
    answer = page.client.get("/cdc/state", query_string={"since": since})

    assert (answer.status_code, answer.mimetype) == (400, "text/plain")


@pytest.mark.parametrize(
    "asked",
    [
        {"rate": "100000", "duration": "100h", "arrival": "poisson"},
        {"rate": "9999999", "duration": "1000h", "arrival": "poisson", "seed": "2"},
        {"stages": ",".join(["9999999/s:1000h"] * 998), "arrival": "poisson"},
        {"stages": ",".join(["1/s:1s"] * 998)},
        {"stages": ",".join(["1/s:1s"] * 100_000)},
        {"rows": ",".join(["1"] * 100_000)},
        {"rows": "9" * 100_000},
    ],
)
def test_a_plan_of_any_size_is_shown_or_refused_at_once(page: Page, asked: dict[str, str]) -> None:
    began_s = time.process_time()

    answer = page.client.get("/cdc/plan", query_string={"shape_class": "Shape", **asked})

    assert time.process_time() - began_s < 2
    assert answer.status_code == 200
    assert bool(answer.get_json()["mistakes"]) != bool(answer.get_json()["steps"])


def test_a_start_of_billions_of_arrivals_is_refused(page: Page) -> None:
    told = page.start(rate="100000", duration="100h", arrival="poisson").json

    assert told["success"] is False
    assert "36,000,000,000 arrivals are more than can be drawn by chance" in told["message"]


def test_a_plan_tells_nothing_of_the_file_system(page: Page) -> None:
    plan = {"shape_class": "Shape", "rows": "5"}
    usual = page.client.get("/cdc/plan", query_string=plan).get_json()

    for results in ("/proc/nope", __file__, "/root"):
        asked = {**plan, "results": results, "platform": "/no/such/program"}
        assert page.client.get("/cdc/plan", query_string=asked).get_json() == usual


def test_only_own_files_are_served(page: Page) -> None:
    assert page.client.get("/cdc/static/../extension.py").status_code == 404
    assert page.client.get("/cdc/static/%2e%2e%2fextension.py").status_code == 404


def test_a_headless_process_is_not_extended() -> None:
    extension.install(Environment(), lambda: None, propose)


def test_an_option_that_is_read_alone_is_named_with_its_value() -> None:
    for name in ("quiet", "metrics_port", "allow_web_host"):
        with pytest.raises(OptionsError, match=f"{BY_NAME[name].flag}: 'maybe'"):
            read_alone(name, "maybe")


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ("running", "running"),
        ("cleanup", "running"),
        ("stopping", "running"),
        ("stopped", "stopped"),
        ("ready", "ready"),
    ],
)
def test_locusts_page_follows_a_run_to_its_very_end(page: Page, state: str, seen: str) -> None:
    """It asks on while a run spawns or runs, so a state between that and the end would stay."""
    assert page.environment.runner is not None
    page.environment.runner.update_state(state)

    written = page.client.get("/").get_data(as_text=True)

    assert page.told("/stats/requests")["state"] == seen
    assert f'"state": "{seen}"' in written


def test_the_login_lets_in_who_knows_the_password_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "PAUSE_S", 0.0)
    monkeypatch.setenv("CDC_WEB_USER", "ada")
    monkeypatch.setenv("CDC_WEB_PASSWORD", CANARY)
    locked = Page(monkeypatch, login=True).client

    for name, password in (("ada", "guess"), ("eve", CANARY), ("", "")):
        given = {"username": name, "password": password}
        assert "/login" in locked.post("/cdc-login", data=given).headers["Location"]
        form = locked.get("/login").text
        assert "wrong user or password" in form
        assert "/cdc-login" in form
        assert CANARY not in form
        assert locked.get("/cdc/state").status_code == 302

    answer = locked.post("/cdc-login", data={"username": "ada", "password": CANARY})

    assert answer.headers["Location"] == "/"
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    for route in (*ROUTES, *LOCUSTS):
        assert locked.get(route).status_code in (200, 404), route
    foreign = {"Origin": "http://evil.example"}
    assert locked.post("/cdc-login", data={}, headers=foreign).status_code == 403


def test_a_login_wants_a_password_that_is_one(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n", encoding="utf-8")

    assert login.account({"CDC_WEB_PASSWORD_FILE": str(file)}).is_this("locust", CANARY)
    assert CANARY not in repr(login.account({"CDC_WEB_PASSWORD": CANARY}))
    for environ in ({}, {"CDC_WEB_PASSWORD": "short"}, {"CDC_WEB_PASSWORD_FILE": "/nowhere"}):
        with pytest.raises(OptionsError, match="CDC_WEB_PASSWORD"):
            login.account(environ)


RUN = "20261124T000000Z-throughput-abcd1234"


@pytest.fixture
def archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page whose results directory has one run that has ended."""
    place = tmp_path / RUN
    (place / "logs").mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(result().to_json()), encoding="utf-8")
    (place / "report.html").write_text("<p>the report</p>", encoding="utf-8")
    (place / "logs" / "observer.log").write_text("a line of the observer\n", encoding="utf-8")
    monkeypatch.setattr(run_files, "Archive", lambda _place: Archive(tmp_path))
    made = Page(monkeypatch)
    made.run = MadeRun(directory=place)
    yield made
    assert made.environment.runner is not None
    made.environment.runner.quit()


def test_runs_that_ended_before_this_page_was_opened_are_listed(archived: Page) -> None:
    (run,) = archived.told("/cdc/runs")

    assert (run["directory"], run["verdict"]) == (RUN, "PASS")


def test_a_report_of_the_list_may_load_nothing_and_is_not_kept(archived: Page) -> None:
    answer = archived.client.get(f"/cdc/runs/{RUN}/report.html")

    assert answer.get_data(as_text=True) == "<p>the report</p>"
    assert answer.headers["Content-Security-Policy"] == run_files.REPORT_POLICY
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "route",
    [f"{RUN}/logs", f"{RUN}/nothing", "../etc/passwd", f"{RUN}/..%2f..%2fetc%2fpasswd", "x/y"],
)
def test_what_is_no_file_of_a_run_is_not_served(archived: Page, route: str) -> None:
    assert archived.client.get(f"/cdc/runs/{route}").status_code == 404


def test_logs_have_the_lines_of_what_the_run_has_started_beside_locusts_own(
    archived: Page,
) -> None:
    told = archived.told("/logs")

    assert isinstance(told["master"], list)
    assert told["workers"]["run: observer"] == ["a line of the observer"]


def test_every_script_and_style_of_the_page_is_served_and_no_other_file(page: Page) -> None:
    text = page.client.get("/").get_data(as_text=True)
    for name in (*extension.STYLES, *extension.SCRIPTS):
        assert f"/cdc/static/{name}" in text
        assert page.client.get(f"/cdc/static/{name}").status_code == 200, name
    for name in ("uplot/LICENSE", "../extension.py", "report.js"):
        assert page.client.get(f"/cdc/static/{name}").status_code == 404, name
