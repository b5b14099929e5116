"""Adds the harness to Locust's web UI: the CDC tab, the checked form, downloads and metrics.

Locust's page is kept and extended at three points: `extended_tabs` and `extended_csv_files`, the
view function `locust.index` (one more script and style sheet), and the view function `locust.swarm`
(the form is checked first). Every route of the harness requires the login if there is one, answers
no other origin, and accepts no write from another origin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, g, jsonify, render_template, render_template_string, request
from locust.argument_parser import ui_extra_args_dict
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_STOPPING
from locust.web import WebUI
from werkzeug.datastructures import ImmutableMultiDict

from cdc_users.measure.latency.series import charted
from cdc_users.options.options import read_alone
from cdc_users.options.proposal import ShapeDeclaration
from cdc_users.report import chart
from cdc_users.scenario import Scenario
from cdc_users.view import prometheus
from cdc_users.view.run_view import RunView
from cdc_users.view.web import form, guard, host, login
from cdc_users.view.web.log_lines import tails
from cdc_users.view.web.run_files import DOWNLOADS, REPORT_POLICY, RunFiles
from cdc_users.view.web.state import state
from infra.stack.supervise.state import state_of
from infra.validate import is_whole

STATIC = Path(__file__).parent / "static"
STYLES = ("uplot/uPlot.min.css", "chart.css", "tab.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "element.js", "chart.js", "pipeline.js", "form.js", "tab.js")
ASSETS = dict.fromkeys(STYLES, "text/css") | dict.fromkeys(SCRIPTS, "text/javascript")
CurrentRun = Callable[[], RunView | None]
INJECTED = """
    {%- for name in styles %}
    <link rel="stylesheet" href="{{ base }}/cdc/static/{{ name }}">{% endfor %}
    <script>window.cdc = {{ cdc|tojson }}</script>
    {%- for name in scripts %}
    <script src="{{ base }}/cdc/static/{{ name }}" defer></script>{% endfor %}
  </body>"""


def install(environment: Environment, current_run: CurrentRun, prepare: form.FormReader) -> None:
    """Extend the web UI of this process; does nothing where there is none."""
    if environment.web_ui is not None:
        Extension(environment, environment.web_ui, current_run, prepare).install()


class Extension:
    """The harness's part of one web UI."""

    def __init__(
        self,
        environment: Environment,
        web_ui: WebUI,
        current_run: CurrentRun,
        prepare: form.FormReader,
    ) -> None:
        assert web_ui.app is not None
        self._environment = environment
        self._web_ui = web_ui
        self._app = web_ui.app
        self._run = current_run
        self._prepare = prepare
        parsed = environment.parsed_options
        #: The options as the command line gave them. A request may change none but those of the
        #: form.
        self._frozen = dict(vars(parsed)) if parsed is not None else {}
        self._files = RunFiles(current_run, self._results)
        self._names = host.own_names(*_served_as(parsed))
        self._base = (parsed.web_base_path or "").rstrip("/") if parsed is not None else ""

    def install(self) -> None:
        """Register routes, replace two view functions, guard both."""
        # Otherwise Locust's form would stand in alphabetical order.
        self._app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
        self._app.register_blueprint(self._blueprint())
        self._app.add_url_rule(
            f"{self._base}/metrics",
            "cdc_metrics",
            self._web_ui.auth_required_if_enabled(self._metrics),
        )
        self._replace("locust.index", lambda _: self._index())
        self._replace("locust.swarm", self._swarm)
        self._replace("locust.logs", self._logs)
        self._replace("locust.request_stats", self._request_stats)
        self._replace("locust.update_user", lambda _: _no_change_of_users())
        self._app.before_request(self._keep_to_the_form)
        self._app.after_request(self._keep_nothing)
        guard.install(self._app, self._names)
        # A page of somebody's own making may have a login of its own; ours is asked for by the
        # command line, which wants a password with it.
        if self._web_ui.web_login and login.is_given(os.environ):
            login.install(self._web_ui, login.account(os.environ), self._base)
        tabs = [{"key": "cdc", "title": "CDC"}]
        files = [{"href": f"{self._base}/cdc/{name}", "title": title} for name, title in DOWNLOADS]
        template_args = self._web_ui.template_args
        template_args["extended_tabs"] = [*template_args.get("extended_tabs", []), *tabs]
        template_args["extended_csv_files"] = [*template_args.get("extended_csv_files", []), *files]

    def _blueprint(self) -> Blueprint:
        files = self._files
        blueprint = Blueprint("cdc", __name__, url_prefix=f"{self._base}/cdc")
        routes: Mapping[str, Callable[..., Response]] = {
            "/state": self._state,
            "/plan": self._plan,
            "/static/<path:name>": self._static,
            "/runs": files.archived,
            "/runs/<directory>/<name>": files.of_archive,
            "/statistics.csv": files.statistics,
            "/timeline.csv": files.timeline,
            "/result.json": lambda: files.concluded("result.json", "application/json"),
            "/report.html": lambda: files.concluded("report.html", "text/html"),
        }
        for number, (rule, view) in enumerate(routes.items()):
            blueprint.add_url_rule(
                rule, f"route_{number}", self._web_ui.auth_required_if_enabled(_named(view, number))
            )
        return blueprint

    def _replace(self, endpoint: str, view: Callable[[Callable[..., Any]], Any]) -> None:
        original = self._app.view_functions[endpoint]

        def replaced() -> Any:
            return view(original)

        self._app.view_functions[endpoint] = self._web_ui.auth_required_if_enabled(replaced)

    def _shapes(self) -> dict[str, ShapeDeclaration]:
        """The shapes with a scenario that may be chosen, by class name."""
        known = self._environment.available_shape_classes or {}
        sole = self._environment.shape_class
        if not known and sole is not None:
            known = {type(sole).__name__: sole}
        shapes: dict[str, Any] = {
            name: shape
            for name, shape in known.items()
            if isinstance(getattr(shape, "scenario", None), Scenario)
        }
        return shapes

    def _index(self) -> str:
        """Locust's page, its form in our order and without secrets, and our scripts behind it."""
        self._web_ui.update_template_args()
        template_args = {
            **self._web_ui.template_args,
            "state": _followed(self._web_ui.template_args["state"]),
            "extra_options": form.fields(ui_extra_args_dict()),
            "missing_host_warning": False,
        }
        page = render_template("index.html", template_args=template_args)
        cdc = {
            **form.description(self._shapes()),
            "base": f"{self._base}/cdc",
            "series": charted(),
            "charts": chart.over_time(),
            "heat": chart.HEAT,
        }
        injected = render_template_string(
            INJECTED, base=self._base, cdc=cdc, styles=STYLES, scripts=SCRIPTS
        )
        return page.replace("\n  </body>", injected, 1)

    def _swarm(self, original: Callable[..., Any]) -> Any:
        """Start a test, if its form can be read; nothing starts otherwise, and Locust's form shows
        why.
        """
        checked = self._checked()
        if checked.proposal is None:
            message = checked.message
            return jsonify({"success": False, "message": message, "host": self._environment.host})
        kept = {**self._withheld(), **self._secret_values()}
        try:
            return original()
        finally:
            vars(self._environment.parsed_options).update(kept)

    def _chosen(self, name: str | None) -> ShapeDeclaration | None:
        shapes = self._shapes()
        return shapes.get(name) if name else next(iter(shapes.values()), None)

    def _keep_to_the_form(self) -> None:
        """Keep the form's own fields in a request, and reset all other options to their values at
        the start.

        Locust stores every field of a request under the option of that name, including a command to
        run and files to write. So this runs before all views, whatever they check.
        """
        if request.method in guard.SAFE_METHODS or request.endpoint == login.ENDPOINT:
            return
        parsed = vars(self._environment.parsed_options)
        told = request.form
        g.cdc_forbidden = form.forbidden(told, self._frozen, self._settable)
        kept = [(name, value) for name, value in told.items(multi=True) if name in self._settable]
        request.form = ImmutableMultiDict(kept)
        parsed.update(self._withheld())

    @cached_property
    def _settable(self) -> frozenset[str]:
        """The fields that a request to start may have: Locust's own, and the options that the form
        shows.
        """
        return form.LOCUST_FIELDS | form.shown(ui_extra_args_dict())

    def _withheld(self) -> dict[str, object]:
        """The options that no request may change, with their values at the start of the page."""
        settable = self._settable | form.STORED_BY_LOCUST
        return {name: value for name, value in self._frozen.items() if name not in settable}

    def _checked(self) -> form.FormCheck:
        """The run that this request asks for, or the reasons why it may not start."""
        if g.cdc_forbidden:
            return form.FormCheck(
                [
                    f"{', '.join(g.cdc_forbidden)} can only be given on the command line; start"
                    " Locust with it"
                ]
            )
        named = request.form.get("shape_class")
        shape = self._chosen(named)
        if shape is None:
            return form.FormCheck(
                [
                    f"{named or 'no shape'!r} is not a scenario; pick a shape class:"
                    f" {', '.join(self._shapes())}"
                ]
            )
        run = self._run()
        if run is not None and run.result is None and not run.over:
            return form.FormCheck(
                [
                    f"the run {run.id} of {run.scenario.name} is still going on; stop it, or wait"
                    " for its verdict"
                ]
            )
        return form.with_users(
            form.check(shape, self._given(request.form), self._prepare),
            request.form.getlist("user_classes"),
        )

    def _given(self, values: Mapping[str, str]) -> dict[str, object]:
        """The options from the form, otherwise from the command line."""
        settable = self._settable
        return {
            **vars(self._environment.parsed_options),
            **{name: value for name, value in values.items() if name in settable},
        }

    def _secret_values(self) -> dict[str, object]:
        """Secrets, which the form sends back empty because the page does not get them."""
        names = [name for name in form.secrets(ui_extra_args_dict()) if not request.form.get(name)]
        return {name: getattr(self._environment.parsed_options, name) for name in names}

    def _plan(self) -> Response:
        shape = self._chosen(request.args.get("shape_class"))
        if shape is None:
            return jsonify(form.plan(form.FormCheck()))
        return jsonify(form.plan(form.preview(shape, self._given(request.args))))

    def _state(self) -> Response:
        since = request.args.get("since", "0")
        if not is_whole(since):
            return Response(f"since={since!r} is no whole number", 400, mimetype="text/plain")
        told = state(self._run(), request.args.get("run", ""), int(since))
        return Response(orjson.dumps(told), mimetype="application/json")

    def _static(self, name: str) -> Response:
        """One of our few files, by a table; no path of the request reaches the file system."""
        if name not in ASSETS:
            return Response("no such file", 404, mimetype="text/plain")
        return Response((STATIC / name).read_bytes(), mimetype=ASSETS[name])

    def _logs(self, original: Callable[..., Any]) -> Any:
        """Locust's log, with the logs of the servers and of the run's processes."""
        told = original().get_json()
        places = {"stack": state_of().logs}
        if (run := self._run()) is not None:
            places["run"] = run.directory / "logs"
        return jsonify({**told, "workers": {**told["workers"], **tails(places)}})

    def _request_stats(self, original: Callable[..., Any]) -> Any:
        """Locust's statistics, which its page also uses to follow the state of the run."""
        told = original().get_json()
        return jsonify({**told, "state": _followed(told["state"])})

    def _results(self) -> Path:
        """The results directory of the command line."""
        return Path(read_alone("results", str(self._frozen.get("results") or "results")))

    def _metrics(self) -> Response:
        return Response(prometheus.text(self._run()), content_type=prometheus.CONTENT_TYPE)

    def _keep_nothing(self, response: Response) -> Response:
        """Forbid browsers to store our answers."""
        if request.blueprint == "cdc" or request.endpoint == "cdc_metrics":
            response.headers["Cache-Control"] = (
                "no-cache" if "/static/" in request.path else "no-store"
            )
        if request.path.endswith("/cdc/report.html"):
            response.headers["Content-Security-Policy"] = REPORT_POLICY
        return response


def _followed(state: str) -> str:
    """A state of Locust's runner for its page.

    The page keeps asking only while the state is one of a running test. If it saw a stopped state
    too early, it would never see the end, and would have no button to start.
    """
    return STATE_RUNNING if state in {STATE_CLEANUP, STATE_STOPPING} else state


def _no_change_of_users() -> Response:
    """Locust's route would set any attribute of a user class, also those that no form shows."""
    return Response(
        "user classes are set by the locustfile; change them there", 403, mimetype="text/plain"
    )


def _served_as(parsed: Any) -> tuple[str, tuple[str, ...]]:
    """The page's address and names, from the command line."""
    given = getattr(parsed, "web_names", None) or ""
    return getattr(parsed, "web_host", "") or "", read_alone("web_names", given) if given else ()


def _named(view: Callable[..., Response], number: int) -> Callable[..., Response]:
    """A function of its own for a view, because Flask and the login's wrapper need a name, which
    bound methods and lambdas lack.
    """

    def route(**arguments: Any) -> Response:
        return view(**arguments)

    route.__name__ = f"route_{number}"
    return route
