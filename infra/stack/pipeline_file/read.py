"""Reads a pipeline file: TOML to sections, with all mistakes together. Asks no server."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from infra.stack.error import StackConfigError
from infra.stack.pipeline_file.section import SECTIONS, TAP_NAME, PipelineFile, Section

#: A pipeline file; `--pipeline` sets it for the processes of a run.
VARIABLE = "CDC_PIPELINE"
#: The keys of a tap that say which server is watched, and how to log in.
OF_SERVER = ("url", "user", "password_file", "token_file", "ca", "certificate", "key", "dsn")
_HELP = "docs/pipeline.md has every key"


def read_pipeline(path: Path) -> PipelineFile:
    """The sections of a file; raises StackConfigError with every mistake, one on each line."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StackConfigError(
            f"pipeline {path} cannot be read: {error.strerror}; name a file that can"
        ) from error
    except ValueError as error:
        raise StackConfigError(f"pipeline {path} is not TOML: {error}; {_HELP}") from error
    if mistakes := list(_mistakes(data)):
        raise StackConfigError("\n".join(f"pipeline {path}: {mistake}" for mistake in mistakes))
    return msgspec.convert(data, PipelineFile)


def beside(path: Path, named: str) -> str:
    """A file that a pipeline file names by its place beside itself; empty where it names none."""
    return str(path.absolute().parent / named) if named else ""


def _mistakes(data: Mapping[str, object]) -> Iterator[str]:
    for name, value in data.items():
        if name == "options":
            yield from _option_mistakes(value)
        elif name not in SECTIONS:
            yield f"[{name}] is no section{did_you_mean(name, SECTIONS)}; {_HELP}"
        elif name == "tap":
            yield from _tap_mistakes(value)
        else:
            yield from _section_mistakes(f"[{name}]", SECTIONS[name], value)


def _tap_mistakes(value: object) -> Iterator[str]:
    if not isinstance(value, list):
        yield "[tap] is one of several; write [[tap]]"
        return
    for number, tap in enumerate(value, start=1):
        yield from _section_mistakes(f"[[tap]] {number}", SECTIONS["tap"], tap)
        name = tap.get("name") if isinstance(tap, Mapping) else None
        if isinstance(name, str) and name and re.fullmatch(TAP_NAME, name) is None:
            yield (
                f"[[tap]] {number} name {name!r} is no plain word; write up to 32 small letters,"
                " digits, '-' and '_', with a letter first"
            )
    taps = [tap for tap in value if isinstance(tap, Mapping)]
    for key in OF_SERVER:
        # One variable holds it for all taps that read it.
        readers: dict[object, list[object]] = {}
        for tap in taps:
            readers.setdefault("" if key == "dsn" else tap.get("kind"), []).append(tap.get(key))
        for kind, given in readers.items():
            if len({str(one) for one in given if one}) > 1:
                whose = f"taps of kind {kind}" if kind else "taps"
                yield f"[[tap]] {whose} have different {key}; they share one server and its login"


def _option_mistakes(value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield "options is no section; write [options]"
        return
    for key, one in value.items():
        if not isinstance(one, str | int | float | bool):
            yield f"[options] {key} is {_kind(one)}; write it as on the command line"


def _section_mistakes(where: str, kind: type[Section], value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} is {_kind(value)} and no section; write its keys below it"
        return
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in value:
        if key not in known:
            yield f"{where} has no key {key!r}{did_you_mean(key, known)}; {_HELP}"
    for key, field in known.items():
        if key not in value:
            if field.required:
                yield f"{where} lacks {key}; {_HELP}"
            continue
        try:
            msgspec.convert(value[key], field.type)
        except msgspec.ValidationError:
            wanted = "is empty" if value[key] == "" else f"is {_kind(value[key])}"
            yield f"{where} {key} {wanted}; write {_wanted(field.type)}"


def _wanted(kind: object) -> str:
    schema = msgspec.json.schema(kind)
    if words := schema.get("enum"):
        return " or ".join(words)
    shown = {"string": "text in quotes", "integer": "a number", "boolean": "true or false"}
    return shown.get(schema.get("type", ""), "what docs/pipeline.md says")


def _kind(value: object) -> str:
    """What a value is, without repeating it: it may be a secret that has got there."""
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "something else")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The name that comes nearest to one that is not known, in brackets; empty where none does."""
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""
