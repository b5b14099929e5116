"""Tokens for an Amazon MSK that lets in by IAM, by AWS's own library (the extra `msk`).

librdkafka knows the mechanism, OAUTHBEARER, and asks for a token by a callback (its
INTRODUCTION.md, "SASL OAUTHBEARER"). The file of properties says `sasl.oauthbearer.method =
aws-msk-iam`, which is a word of this project; keys and roles come from AWS's usual places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from infra.plugin import lacking

METHOD, CONFIG = "sasl.oauthbearer.method", "sasl.oauthbearer.config"
BY_IAM = "aws-msk-iam"
#: A token, and until when it holds in seconds since the epoch.
Token = tuple[str, float]


class MskError(ValueError):
    """Properties that ask for tokens that cannot be made; the message has the remedy."""


def with_tokens(
    properties: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str | Callable[[str], Token]]:
    """The properties as librdkafka takes them: with the callback in place of the word for it.

    Others stay as they are. Raises MskError.
    """
    if properties.get(METHOD) != BY_IAM:
        return {**properties}
    region = region_of(properties.get(CONFIG, ""), environ)
    if (why := lacking("aws_msk_iam_sasl_signer", "msk")) is not None:
        raise MskError(f"{METHOD}={BY_IAM} {why}")
    left = {name: text for name, text in properties.items() if name not in (METHOD, CONFIG)}
    return {"sasl.mechanism": "OAUTHBEARER", **left, "oauth_cb": lambda _: token(region)}


def region_of(config: str, environ: Mapping[str, str]) -> str:
    """The brokers' region: `region=NAME` in the configuration, else the environment's."""
    name, _, region = config.strip().partition("=")
    if config.strip() and (name.strip() != "region" or not region.strip()):
        raise MskError(f"{CONFIG} of {BY_IAM} is not region=NAME, e.g. region=eu-west-1")
    found = region.strip() or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not found:
        raise MskError(f"{METHOD}={BY_IAM} needs a region; write {CONFIG}=region=NAME")
    return found


def token(region: str) -> Token:
    """A token that is signed now; raises what AWS's library raises, which the client reports."""
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

    signed, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
    return signed, expires_ms / 1000
