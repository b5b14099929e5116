"""`python -m cdc_users.pipeline check FILE | init FILE | schema`: the user's own pipeline in one
file (docs/pipeline.md).

`check` sends each part a real request, and changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import requests

from cdc_users.options.described import option_mistakes, pipeline_path, sink_tap_text
from cdc_users.pipeline.declaration import outlets
from cdc_users.pipeline.outlets.sink_tap import checked
from cdc_users.pipeline.provision.allow_list import check_targets
from infra.client.http import ask_connect, reason
from infra.client.output import keep_output_from_failing
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.locate import find
from infra.stack.pipeline_file.coverage import Coverage, coverage
from infra.stack.pipeline_file.found import PipelineFound
from infra.stack.pipeline_file.look import TIMEOUT_S, PipelineLook
from infra.stack.pipeline_file.read import VARIABLE, read_pipeline
from infra.stack.pipeline_file.section import TapSection, editor_schema
from infra.stack.pipeline_file.template import (
    KnownValues,
    commented,
    of_connector,
    of_server,
    read_java_properties,
    unknown,
    with_servers,
)
from infra.stack.supervise.state import CHECKOUT


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m cdc_users.pipeline", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check", help="send each part a request, and say what can be measured"
    )
    check.add_argument(
        "file", help="a pipeline file, or the name of one that comes with this project"
    )
    check.add_argument(
        "--allow-target",
        default="",
        help="HOST:PORT outside loopback that may be contacted, by comma",
    )
    init = commands.add_parser("init", help="write a commented file")
    init.add_argument("file", help="the file to write, which must not exist")
    init.add_argument("--from-connector", default="", help="the name of a Debezium connector")
    init.add_argument("--connect-url", default="", help="the URL of the connector's Kafka Connect")
    init.add_argument(
        "--from-properties", default="", help="Debezium Server's application.properties"
    )
    commands.add_parser("schema", help="print the JSON schema of the file, for editors")
    return top


def check(options: argparse.Namespace) -> int:
    """Send each part a request; returns 3 if one does not answer, 2 if one cannot be used."""
    path = pipeline_path(options.file)
    file = read_pipeline(path)
    if mistakes := [*option_mistakes(file), *map(str, _tap_mistakes(file.tap))]:
        raise StackConfigError("\n".join(f"pipeline {path}: {mistake}" for mistake in mistakes))
    environ = {**os.environ, VARIABLE: str(path)}
    endpoints = find(CHECKOUT, environ)
    if endpoints is None:
        raise StackError(
            "the file names no server and no stack of this checkout is up; run"
            " `python -m infra.stack up`"
        )
    allowed = str(file.options.get("allow_target", "")) or options.allow_target
    check_targets(endpoints, allowed.replace(",", " ").split(), environ)
    found = PipelineLook(file, endpoints, endpoints.environment(environ)).look()
    print(rendered(found, coverage(found)))
    return found.exit_code


def _tap_mistakes(taps: Sequence[TapSection]) -> list[ValueError]:
    """Mistakes in the taps' kinds, places and names."""
    known, found = outlets().by_name, []
    for tap in taps:
        if tap.kind not in known:
            found.append(ValueError(f"[[tap]] kind {tap.kind!r} is not one of {', '.join(known)}"))
            continue
        try:
            known[tap.kind].check(tap.place)
        except ValueError as error:
            found.append(error)
    if found or not taps:
        return found
    try:
        checked(sink_tap_text(taps))
    except ValueError as error:
        return [error]
    return []


def rendered(found: PipelineFound, covered: Sequence[Coverage]) -> str:
    """The report of a check: what was found, then what it allows. Pure."""
    lines = ["WHAT IS THERE"]
    for part in found.parts:
        lines.append(f"  {part.name:16} {part.place}")
        lines += [f"  {'':16} {fact}" for fact in part.facts]
        lines += [f"  {'':16} ! {trouble.text}" for trouble in part.troubles]
    for tap in found.taps:
        lines.append(f"  {'Tap':16} {tap} (watched while a run lasts)")
    lines.append("\nWHAT CAN BE MEASURED AND AUDITED")
    for one in covered:
        lines.append(f"  {'yes' if one.covered else 'no':3}  {one.what}: {one.why}")
    troubles = found.troubles
    summary = f"{len(troubles)} problem(s), marked !" if troubles else "no problems"
    return "\n".join([*lines, "", summary])


def init(options: argparse.Namespace) -> int:
    """Write a commented file; from a connector or from Debezium Server if one is named."""
    path = Path(options.file)
    if path.exists():
        raise StackConfigError(f"{path} exists already; name another file, or move it away")
    known: KnownValues = {}
    if options.from_connector:
        known = _of_connector(options.from_connector, options.connect_url)
    elif options.from_properties:
        known = of_server(read_java_properties(_text(Path(options.from_properties))))
    try:
        path.write_text(commented(known), encoding="utf-8")
    except OSError as error:
        raise StackConfigError(f"{path} cannot be written: {error.strerror}") from error
    for section, name in unknown(known):
        print(f"fill in [{section}] {name}, which this machine does not know")
    print(f"wrote {path}; `python -m cdc_users.pipeline check {path}` checks each part")
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StackConfigError(f"{path} cannot be read; name a file that can") from error


def _of_connector(name: str, given: str) -> KnownValues:
    endpoints = find(CHECKOUT, os.environ) if not given else None
    url = (given or (endpoints.connect_url if endpoints else "")).rstrip("/")
    if not url:
        raise StackConfigError("--from-connector needs --connect-url, or a stack that is up")
    environ = endpoints.environment(os.environ) if endpoints else os.environ
    where = f"{url}/connectors/{name}/config"
    try:
        answer = ask_connect("GET", where, timeout=TIMEOUT_S, environ=environ)
    except requests.RequestException as error:
        raise StackError(f"Kafka Connect does not answer at {url}: {reason(error)}") from error
    if answer.status_code != requests.codes.ok:
        raise StackConfigError(f"{url} answers {answer.status_code} for connector {name!r}")
    config: Mapping[str, str] = answer.json()
    known = of_connector(name, config, url)
    return known if endpoints is None else with_servers(known, endpoints)


def schema(_: argparse.Namespace) -> int:
    """Print the JSON schema."""
    print(msgspec.json.format(msgspec.json.encode(editor_schema())).decode())
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "check": check,
    "init": init,
    "schema": schema,
}


def main(arguments: Sequence[str]) -> int:
    """Carry out one command; errors become one message and an exit code."""
    options = parser().parse_args(arguments)
    keep_output_from_failing()
    try:
        return COMMANDS[options.command](options)
    except StackError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
