"""The login of the web UI (`--web-login`): Locust has the form, and this module decides who may
pass.

One account, named by CDC_WEB_USER; its password comes from CDC_WEB_PASSWORD or from the file that
CDC_WEB_PASSWORD_FILE names, never from the command line.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask import redirect, request, session, url_for
from flask_login import UserMixin, login_user
from locust.web import WebUI
from werkzeug.wrappers import Response

from cdc_users.error import OptionsError
from infra.client.environment import WEB_PASSWORD, WEB_PASSWORD_FILE, WEB_USER

ENDPOINT = "cdc_login"
#: Every wrong attempt takes this long; the page itself is not held up.
PAUSE_S = 1.0
SHORTEST = 8


@dataclass(frozen=True, slots=True)
class WebAccount:
    """The account that may see the page."""

    name: str
    password: str = field(repr=False)

    def is_this(self, name: str, password: str) -> bool:
        """Whether name and password match, in a time that does not depend on where they differ."""
        right = hmac.compare_digest(password.encode(), self.password.encode())
        return hmac.compare_digest(name.encode(), self.name.encode()) and right


class Visitor(UserMixin):  # type: ignore[misc]
    """Someone who has logged in."""

    def __init__(self, name: str) -> None:
        self.id = name


def is_given(environ: Mapping[str, str]) -> bool:
    """Whether the environment names an account."""
    return bool(environ.get(WEB_PASSWORD) or environ.get(WEB_PASSWORD_FILE))


def account(environ: Mapping[str, str]) -> WebAccount:
    """The account in the environment; raises OptionsError if there is none."""
    password = environ.get(WEB_PASSWORD, "")
    if not password and (place := environ.get(WEB_PASSWORD_FILE)):
        try:
            password = Path(place).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise OptionsError(
                [
                    f"{WEB_PASSWORD_FILE}={place} cannot be read: {error.strerror}; name a file"
                    " that can"
                ]
            ) from error
    if len(password) < SHORTEST:
        raise OptionsError(
            [
                f"--web-login needs a password of at least {SHORTEST} characters: put it into"
                f" {WEB_PASSWORD}, or into a file that {WEB_PASSWORD_FILE} names ({WEB_USER} names"
                " the user, `locust` otherwise)"
            ]
        )
    return WebAccount(environ.get(WEB_USER) or "locust", password)


def install(web_ui: WebUI, account: WebAccount, base: str) -> None:
    """Let this account log in; does nothing if the page has no login."""
    application = web_ui.app
    assert application is not None
    application.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=bool(web_ui.tls_cert),
    )
    web_ui.login_manager.user_loader(lambda name: Visitor(name) if name == account.name else None)
    route = f"{base}/cdc-login"
    web_ui.auth_args = {"username_password_callback": route}

    def submit() -> Response:
        given = request.form.get("username", ""), request.form.get("password", "")
        if not account.is_this(*given):
            time.sleep(PAUSE_S)  # gevent's, in a process of Locust
            session["auth_error"] = "wrong user or password"
            return redirect(url_for("locust.login"))
        session["auth_error"] = None
        login_user(Visitor(account.name))
        return redirect(url_for("locust.index"))

    application.add_url_rule(route, ENDPOINT, submit, methods=["POST"])
