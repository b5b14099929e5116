"""Mistakes that people make, each with the one line that it is told by: exit code 2, before any
server is touched, and nothing is left.

They run in one process (mistaken_commands), through the whole of Locust's own start.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.stack.supervise.state import CHECKOUT

HEADING = "These options cannot be used:"
LOCUSTFILES = {
    name: f"locustfiles/{name}.py" for name in ("throughput", "latency", "wal", "faults")
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Words on the command line (with PORT for one that is taken, PLAIN for a locustfile without a
    scenario) and the line that they are answered with.
    """

    words: str
    line: str
    scenario: str = "throughput"
    environment: Mapping[str, str] = field(default_factory=dict)
    headless: bool = True


def of(scenario: str, words: str, line: str) -> Mistake:
    """A mistake in another scenario than throughput."""
    return Mistake(words, line, scenario)


#: Servers of the user's own that are not on this machine, and such that nobody asks on it.
ELSEWHERE = {
    "postgres": "db.example:5432",
    "kafka": "kafka.example:9092",
    "registry": "registry.example:8081",
    "connect": "connect.example:8083",
}
NOBODY_HERE = {name: f"127.0.0.1:{port}" for port, name in enumerate(ELSEWHERE, start=1)}


def own_servers(places: Mapping[str, str]) -> Mapping[str, str]:
    """The environment that names these servers as the user's own."""
    host, _, port = places["postgres"].partition(":")
    return {
        "CDC_POSTGRES_DSN": f"host={host} port={port} user=ada dbname=shop",
        "CDC_KAFKA_BOOTSTRAP": places["kafka"],
        "CDC_SCHEMA_REGISTRY_URL": f"http://{places['registry']}",
        "CDC_CONNECT_URL": f"http://{places['connect']}",
    }


MISTAKES = [
    # What cannot be read.
    Mistake("--rate=", "--rate needs a value (arrivals per second); leave it out to give none"),
    Mistake(
        "--rate abc --duration 5s",
        "--rate: 'abc' is not a rate; write arrivals per second, e.g. 1000, 10k or 1000/s",
    ),
    Mistake(
        "--rate 1e9 --duration 1s", "--rate: '1e9' must be above 0 and below ten million a second"
    ),
    Mistake(
        "--rate 5 --duration 30",
        "--duration: '30' is not a duration; write a number and its unit, e.g. 50ms, 30s or 5m",
    ),
    Mistake("--rows 0", "--rows: '0' must be at least 1"),
    Mistake("--rows 10,x", "--rows: 'x' is not a whole number"),
    Mistake("--rows 1.5", "--rows: '1.5' is not a whole number"),
    Mistake("--rows 1G", "--rows: '1G' must be at most 50,000,000"),
    Mistake("--lanes 10001", "--lanes: '10001' must be at most 10,000"),
    Mistake(
        "--stages fast",
        "--stages: 'fast' is not a stage; write RATE:DURATION, e.g. 500/s:30s, or a ramp"
        " 500/s->2000/s:60s",
    ),
    Mistake(
        "--mix update=1",
        "--mix: 'update=1' has no insert; a writer changes only rows of its own, so give"
        " insert a weight",
    ),
    Mistake(
        "--key-skew zipf",
        "--key-skew: 'zipf' is not a skew; write uniform, or zipf:S with S above 0 and up to"
        " 5, e.g. zipf:1.2",
    ),
    Mistake(
        "--threshold p99<500ms",
        "--threshold: 'p99' is not a metric; did you mean 'end_to_end.p99'?",
    ),
    Mistake(
        "--threshold lost==0kg",
        "--threshold: 'kg' in 'lost==0kg' is not a unit of lost; allowed: k, M",
    ),
    Mistake(
        "--sink nowhere",
        "--sink: 'nowhere' is not one of counting, slow, iceberg, iceberg-connect, postgres,"
        " webhook",
    ),
    Mistake(
        "--source mariadb",
        "--source mariadb is not possible with --capture debezium, which reads postgres; use"
        " --capture debezium-server",
    ),
    Mistake(
        "--pipeline debezium-server-mariadb-http --insert-method copy",
        "--insert-method copy is PostgreSQL's; with --source mariadb use values",
    ),
    of(
        "faults",
        "--pipeline debezium-server-mariadb-http --sink counting --faults drop-slot",
        "--faults drop-slot needs PostgreSQL as source; use --source postgres",
    ),
    of("faults", "--at 150%", "--at: '150%' must be from 1% to 100%"),
    of(
        "faults",
        "--at 50%",
        "--at needs --capacity, a rate or a result.json of the scenario capacity",
    ),
    of(
        "faults",
        "--faults kill-conect",
        "--faults: 'kill-conect' is no fault; did you mean kill-connect?",
    ),
    of("faults", "--rounds 0", "--rounds: '0' must be at least 1"),
    of(
        "faults",
        "--faults kill-reader",
        "--faults kill-reader needs the direct reader or Debezium Server; use --capture wal or"
        " debezium-server",
    ),
    Mistake(
        f"--faults end-walsender --allow-target {','.join(ELSEWHERE.values())}",
        f"--faults end-walsender would disturb {', '.join(ELSEWHERE.values())}, which is not on"
        f" this machine; if that may be, add --allow-fault {','.join(ELSEWHERE.values())}",
        "faults",
        environment=own_servers(ELSEWHERE),
    ),
    Mistake(
        "--faults pause-kafka",
        "--faults pause-kafka kills or stops a server, and only those that this checkout has"
        " started are its to kill; name a command for it in [commands] of the pipeline file"
        " (docs/pipeline.md), unset CDC_STACK, or name other faults",
        "faults",
        environment=own_servers(NOBODY_HERE),
    ),
    Mistake("--smoke perhaps", "--smoke: 'perhaps' is neither yes nor no"),
    Mistake(
        "--platform /no/such",
        "--platform: '/no/such' names no program that can be run; write reference, none or a"
        " command line",
    ),
    Mistake(
        "--results /proc/nope",
        "--results: '/proc/nope' cannot be written to: No such file or directory; name"
        " another place",
    ),
    Mistake(
        "--allow-target db.example",
        "--allow-target: 'db.example' is not HOST:PORT, e.g. db.example:5432",
    ),
    Mistake(
        "--pipeline nothere.toml",
        "--pipeline 'nothere.toml' is no file; name one, or one of debezium-server-http,"
        " debezium-server-jdbc, debezium-server-kafka, debezium-server-kinesis,"
        " debezium-server-mariadb-http, debezium-server-mariadb-jdbc, debezium-server-nats,"
        " debezium-server-pubsub, debezium-server-redis, iceberg-connect,"
        " postgres-subscription (docs/pipeline.md)",
    ),
    Mistake(
        "--metrics-port 99999",
        "--metrics-port: '99999' is not a port; name one of 0 (any free one) to 65535",
    ),
    # What does not go together.
    Mistake("--rate 5", "--rate needs --duration, e.g. --duration 30s"),
    Mistake("--duration 5s", "--duration needs --rate, e.g. --rate 1000"),
    Mistake(
        "--rows 10 --rate 5 --duration 1s", "--rows and --rate contradict each other; name one load"
    ),
    Mistake("--rate 0.1 --duration 1s", "--rate 0.1 for 1 s makes no arrival; raise one of them"),
    Mistake(
        "--rows 10 --rows-per-transaction 3",
        "--rows 10 is not a multiple of --rows-per-transaction 3; change one of the two",
    ),
    Mistake(
        "--key-skew zipf:1.1",
        "--key-skew needs updates or deletes in --mix, e.g. insert=80,update=20",
    ),
    Mistake(
        "--batch-size 50 --max-buffered-messages 10",
        "--max-buffered-messages 10 is below --batch-size 50; a batch would never fit, raise it",
    ),
    Mistake(
        "--instances 3 --partitions 2",
        "--instances 3 is more than --partitions 2; 1 would idle, raise --partitions",
    ),
    Mistake(
        "--connector c",
        "--connector needs --table (what it captures) and --topic (what it writes to)",
    ),
    Mistake(
        "--probe-column note",
        "--probe-column needs --table: the run's own tables have all that they need",
    ),
    Mistake("--table a", "--table: 'a' is not SCHEMA.TABLE, e.g. public.customers"),
    # What would do nothing.
    Mistake(
        "--rows 10 --warm-up 1s",
        "--warm-up needs --rate and --duration: without them everything is due at once",
    ),
    Mistake(
        "--sink-delay 9ms",
        "--sink-delay does nothing without the sink slow; name that sink, or leave it out",
    ),
    Mistake("--records 5", "--records does nothing in throughput; use --rows"),
    of("latency", "--rows 5", "--rows does nothing in latency; use --records"),
    of(
        "backpressure",
        "--rate 5",
        "--rate does nothing in backpressure; use --overload, a multiple of what the sink can take",
    ),
    of("partitions", "--sink slow", "--sink does nothing in partitions; use --sinks"),
    of("wal", "--batch-size 9", "--batch-size does nothing with --capture wal; leave it out"),
    Mistake("-u 10", "--users 10 does nothing here: a run's plan has lanes; use --lanes"),
    Mistake(
        "-r 5",
        "--spawn-rate 5.0 does nothing here: all lanes begin at once; leave it out, --rate"
        " is the load",
    ),
    Mistake(
        "-t 30s", "--run-time 30s needs --rate: other loads end when all is written; leave it out"
    ),
    Mistake(
        "-t 30s --rate 5 --duration 1s",
        "--run-time 30s does nothing beside --duration; leave it out",
    ),
    of(
        "backpressure",
        "-t 30s",
        "--run-time 30s does nothing in backpressure; use --fill and --hold",
    ),
    Mistake(
        "-H http://x",
        "--host http://x does nothing here: CDC_STACK names the servers (docs/external.md);"
        " leave it out",
    ),
    # What Locust would do in its own way.
    Mistake("--tags nightly", "--tags nightly would take the lanes' work away; leave it out"),
    Mistake(
        "--exclude-tags slow", "--exclude-tags slow would take the lanes' work away; leave it out"
    ),
    Mistake(
        "SomeUser",
        "the user class SomeUser is not one of the scenario's, which are ThroughputWriter;"
        " leave it out",
    ),
    Mistake(
        "--html /proc/nope/x.html",
        "--html /proc/nope/x.html: No such file or directory; name another place",
    ),
    Mistake(
        "--json-file /proc/nope/x",
        "--json-file /proc/nope/x: No such file or directory; name another place",
    ),
    Mistake(
        "--csv /proc/nope/x", "--csv /proc/nope/x: No such file or directory; name another place"
    ),
    Mistake(
        "--logfile /proc/nope/x",
        "--logfile /proc/nope/x: No such file or directory; name another place",
    ),
    Mistake(
        "--master --master-bind-port PORT",
        "--master-bind-port PORT is taken; name another, here and as --master-port at the workers",
    ),
    Mistake(
        "--master --processes 2",
        "--master does nothing beside --processes, which starts a master; leave it out",
    ),
    Mistake("--autoquit 5", "--autoquit needs --autostart; add it, or leave both out"),
    Mistake(
        "--metrics-port PORT", "--metrics-port PORT is taken; name another, or 0 for any free one"
    ),
    Mistake(
        "--web-port PORT",
        "--web-port PORT is taken; name another, e.g. --web-port 8090, or make ui"
        ' ARGS="--web-port 8090"',
        headless=False,
    ),
    Mistake(
        "--web-port 0 -t 5s",
        "--run-time does nothing in the web UI; its form has --duration",
        headless=False,
    ),
    Mistake(
        "-f locustfiles",
        "these locustfiles hold 7 scenarios, and a run has one; name it: -f"
        " locustfiles/backpressure.py, -f locustfiles/capacity.py, -f locustfiles/faults.py, -f"
        " locustfiles/latency.py, -f locustfiles/partitions.py, -f locustfiles/throughput.py, -f"
        " locustfiles/wal.py",
    ),
    Mistake(
        "-f locustfiles/wal.py,locustfiles/throughput.py",
        "these locustfiles hold 2 scenarios, and a run has one; name it: -f"
        " locustfiles/throughput.py, -f locustfiles/wal.py",
    ),
    Mistake(
        "-f locustfiles/throughput.py,PLAIN",
        "-f PLAIN declares no scenario, so nothing of it would run; leave it out",
    ),
    # What is too much.
    Mistake(
        "--rate 100k --duration 100h --arrival poisson",
        "--rate with --arrival poisson of --seed 1: 36,000,000,000 arrivals are more than"
        " can be drawn by chance, 100,000,000; lower the rate or the duration, or space them"
        " evenly",
    ),
    of(
        "partitions",
        "--repeat 100 --partitions 1,2,3,4,5",
        "these options make 1,000 steps; ask for at most 998 in each of several runs",
    ),
    # What the environment says.
    Mistake(
        "",
        "--rate: 'abc' is not a rate; write arrivals per second, e.g. 1000, 10k or 1000/s",
        environment={"CDC_RATE": "abc", "CDC_DURATION": "5s"},
    ),
    Mistake(
        "",
        "--tags nightly would take the lanes' work away; leave it out",
        environment={"LOCUST_TAGS": "nightly"},
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Answers:
    """All of them, with what stood for PORT and PLAIN."""

    answers: list[Answer]
    stand_ins: Mapping[str, str]
    results: Path

    def put(self, text: str) -> str:
        return _put(text, self.stand_ins)


def _put(text: str, stand_ins: Mapping[str, str]) -> str:
    for name, value in stand_ins.items():
        text = re.sub(rf"(?<!HOST:)\b{name}\b", value, text)
    return text


def _case(mistake: Mistake, results: Path, stand_ins: Mapping[str, str]) -> dict[str, Any]:
    words = _put(mistake.words, stand_ins).split()
    if "-f" not in words:
        words = ["-f", f"locustfiles/{mistake.scenario}.py", *words]
    if not any(word.startswith("--results") for word in words):
        words += ["--results", str(results)]
    return {
        "module": "locust",
        "arguments": [*words, *(["--headless"] if mistake.headless else [])],
        "environment": dict(mistake.environment),
    }


def _run(cases: list[dict[str, Any]]) -> list[Answer]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.mistaken_commands"],
        cwd=CHECKOUT,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Answer(**answer) for answer in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    place = tmp_path_factory.mktemp("mistakes")
    plain = place / "plain.py"
    plain.write_text("from locust import User\n\n\nclass Plain(User):\n    pass\n")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        stand_ins = {"PORT": str(listener.getsockname()[1]), "PLAIN": str(plain)}
        results = place / "results"
        cases = [_case(mistake, results, stand_ins) for mistake in MISTAKES]
        yield Answers(_run(cases), stand_ins, results)


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda number: MISTAKES[number].words)
def test_a_mistake_is_told_in_one_line_and_ends_with_2(number: int, answers: Answers) -> None:
    answer, line = answers.answers[number], answers.put(MISTAKES[number].line)
    told = [text for text in answer.stderr.splitlines() if "/INFO/locust" not in text]

    assert (answer.exit_code, told) == (2, [HEADING, f"  {line}"])


def test_nothing_is_left_of_them(answers: Answers) -> None:
    assert not answers.results.exists()


@pytest.mark.parametrize(
    ("module", "words", "code", "line"),
    [
        ("locust", "-f locustfiles/wal.py --headless --ratee 5", 2, "Did you mean '--rate'?"),
        ("locust", "-f locustfiles/wal.py --headless --rate", 2, "--rate: expected one argument"),
        ("cdc_users.bench", "--only nothing", 2, "--only 'nothing' names no module"),
        ("cdc_users.bench", "--results /proc/nope", 2, "name a directory that can be written to"),
        ("cdc_users.bench", "--only latency --rate 5", 2, "unrecognized arguments: --rate 5"),
        ("cdc_users.report", "nothere", 2, "nothere holds no result.json; name the directory"),
        ("infra.stack", "start", 2, "invalid choice: 'start' (choose from 'up'"),
        ("cdc_users.pipeline", "check nothere.toml", 2, "'nothere.toml' is no file; name one"),
        ("cdc_users", "nonsense", 2, "takes no 'nonsense'"),
        (
            "locust",
            "-f locustfiles/wal.py --headless --master --master-bind-port 0 --expect-workers 2"
            " --expect-workers-max-wait 1",
            2,
            "0 of 2 expected workers came within 1 s; start the others",
        ),
    ],
)
def test_what_argparse_locust_or_a_program_finds_has_its_exit_code_too(
    module: str, words: str, code: int, line: str
) -> None:
    (answer,) = _run([{"module": module, "arguments": words.split(), "environment": {}}])

    assert (answer.exit_code, "Traceback" in answer.stderr) == (code, False), answer.stderr
    assert line in answer.stderr


@pytest.mark.parametrize("words", ["-f nothere.py --headless", "-f README.md", "--headless"])
def test_a_locustfile_that_is_not_there_is_refused_with_those_that_are(words: str) -> None:
    # Found before anything is imported, so it needs a process of its own.
    done = subprocess.run(
        [sys.executable, "-m", "locust", *words.split()],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    first, told = done.stderr.splitlines()

    assert (done.returncode, first) == (2, HEADING)
    assert "locustfiles/throughput.py" in told
