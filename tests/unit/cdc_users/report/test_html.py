"""report.html: from the directory alone, nothing unescaped, INVALID numbers struck through,
small.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdc_users.error import ResultError
from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.report import html as page
from cdc_users.report import remake, table
from cdc_users.report.__main__ import main
from cdc_users.report.answer import answer
from tests.unit.made_result import result, step_result

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
MOST_BYTES = 2_000_000
POINT = {"sink": "slow", "hottest_share": 0.26, "readings": 1}
SCALING: dict[str, Any] = {
    "points": [
        {
            **POINT,
            "partitions": 1,
            "instances": 1,
            "rate_per_s": 1000.0,
            "speed_up": 1.0,
            "efficiency": 1.0,
        },
        {
            **POINT,
            "partitions": 4,
            "instances": 2,
            "rate_per_s": 3000.0,
            "speed_up": 3.0,
            "efficiency": 0.75,
        }
        | {"speed_ups": [2.5, 3.0, 3.25]},
    ],
    "law": {"slow": None},
    "law_needs_points": 5,
}
PRESSURE = {
    "queue_high_water": 550,
    "queue_high_water_share": 0.55,
    "memory_growth_mb": 4.2,
    "time_to_drain_s": 3.0,
}


class Elements(HTMLParser):
    """Counts elements, gathers attributes and the struck-through texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.struck: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] == "s" and data.strip():
            self.struck.append(data)


def directory(place: Path, made: Result, **files: str) -> Path:
    place.mkdir(exist_ok=True)
    (place / "result.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return place


def written(place: Path, made: Result, **files: str) -> str:
    return remake.write(directory(place, made, **files), made).read_text(encoding="utf-8")


def timeline(seconds: int) -> str:
    lines = ["elapsed_s,step,stage,sent_per_s,delivered_per_s,p99_ms,backlog"]
    return "\n".join(
        [*lines, *(f"{second}.0,a,a,100.0,99.5,,{second}" for second in range(seconds))]
    )


def test_the_verdict_and_the_answer_come_first(tmp_path: Path) -> None:
    text = written(tmp_path / "r", result())
    body = text[text.index("<body") :]

    assert (
        body.index("PASS")
        < body.index("1,000 events reached the sink in 10.00 s, 100/s")
        < body.index("Consolidated")
    )
    assert "none was lost, doubled or reordered." in body


def test_texts_of_a_run_never_become_markup(tmp_path: Path) -> None:
    evil = result(
        Verdict.FAIL,
        [EVIL],
        scenario=EVIL,
        notes=[EVIL],
        command=EVIL,
        options={EVIL: EVIL},
        steps=[step_result(EVIL, ledger={"sent": 1, EVIL: 1, "fences": EVIL})],
    )
    audit = {
        "taps": {
            EVIL: {"1": {"examples": [{"finding": EVIL, "writer": 1, "sequence": 2, "key": EVIL}]}}
        }
    }
    environment = {"cpu": EVIL, "kernel": EVIL, "servers": {EVIL: EVIL}, "packages": {EVIL: EVIL}}
    clean = Elements(written(tmp_path / "clean", result()))
    found = Elements(
        written(
            tmp_path / "evil",
            evil,
            audit__json=json.dumps(audit),
            environment__json=json.dumps(environment),
            timeline__csv=f"elapsed_s,step,stage,backlog\n1.0,{EVIL.replace(chr(34), '')},x,1\n",
        )
    )

    assert found.names.count("script") == clean.names.count("script")
    assert "img" not in found.names
    assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_an_invalid_runs_numbers_are_struck_through_below_the_reason(tmp_path: Path) -> None:
    text = written(tmp_path / "r", result(Verdict.INVALID, ["the generator was behind its plan"]))

    assert text.index("the generator was behind its plan") < text.index("<s>")
    assert {"1,000", "100/s", "10.0 ms"} <= set(Elements(text).struck)
    assert Elements(written(tmp_path / "p", result())).struck == []


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    found = Elements(written(tmp_path / "r", result(), timeline__csv=timeline(5)))

    for name, value in found.attributes:
        if name in ("src", "href"):
            assert (value or "").startswith(("./", "data:")), value


def test_a_run_of_a_day_makes_a_file_below_two_megabytes(tmp_path: Path) -> None:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.arange(1, 2_000_000, 7, dtype=np.int64))
    place = tmp_path / "r"
    place.mkdir()
    for name in page.SERIES:
        (place / f"step-1.{name}.hgrm").write_text(histogram.hgrm(), encoding="utf-8")
    text = written(place, result(), timeline__csv=timeline(86_400))

    assert len(text.encode()) < MOST_BYTES
    assert (
        len(json.loads(text.split('id="data">')[1].split("</script>")[0])["timeline"]["elapsed_s"])
        > 2000
    )


def test_the_distribution_is_the_histograms_and_ends_where_ten_samples_lie_beyond() -> None:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.arange(1, 10_001, dtype=np.int64) * 100)
    values = page.spread(histogram.hgrm())
    decade = page.POINTS_PER_DECADE

    for decades, percentile in ((1, 90.0), (2, 99.0), (3, 99.9)):
        exact = histogram.percentile_us(percentile)
        assert exact is not None
        assert values[decades * decade] == pytest.approx(exact / 1000, rel=0.002)
    assert [value is None for value in values[3 * decade : 3 * decade + 2]] == [False, True]
    assert page.spread("") == [None] * (page.DECADES * decade + 1)


def test_located_examples_bear_the_name_of_their_step() -> None:
    audit: page.AuditFile = {
        "taps": {"sink": {"1": {"examples": [{"finding": "lost", "writer": 10000, "sequence": 7}]}}}
    }
    (found,) = page.findings(audit, ["step-1"])

    assert (found["step"], found["tap"], found["finding"], found["sequence"]) == (
        "step-1",
        "sink",
        "lost",
        7,
    )


def test_reports_are_remade_from_the_files_alone(tmp_path: Path) -> None:
    place = directory(tmp_path / "r", result(), timeline__csv=timeline(3))
    assert main([str(place)]) == 0
    first = (place / "report.html").read_text(encoding="utf-8")
    assert main([str(place)]) == 0

    assert (place / "report.html").read_text(encoding="utf-8") == first
    assert (place / "statistics.csv").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no result.json"),
        ("{", "is not JSON"),
        ('{"schema": 0}', "has schema 0, this version reads"),
        ('{"schema": 2}', "is not a result of schema 2"),
        ("[]", "is not a result of schema 2"),
    ],
)
def test_a_bad_directory_gets_one_clear_message_and_exit_2(
    tmp_path: Path, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content, encoding="utf-8")

    assert main([str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) == 1


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    place = directory(tmp_path / "r", result())
    (place / "statistics.csv").mkdir()

    with pytest.raises(ResultError, match="cannot be written"):
        remake.write(place, result())


def test_making_reports_leaves_locust_and_gevent_unloaded() -> None:
    code = (
        "import sys, cdc_users.report.__main__; sys.exit(bool({'locust', 'gevent', 'flask'} &"
        " set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scaling_and_pressure_have_their_tables(tmp_path: Path) -> None:
    text = written(tmp_path / "r", result(scaling=SCALING, steps=[step_result(pressure=PRESSURE)]))

    assert "<h2>Scaling</h2>" in text
    assert "<td>3.00 (2.50 to 3.25)</td>" in text
    assert "<td>0.75</td>" in text
    assert "<h2>Inside the platform</h2>" in text
    assert "SCALING (slow sink)" in table.render(result(scaling=SCALING), tmp_path)
    assert "<h2>Scaling</h2>" not in written(tmp_path / "plain", result())


def test_what_was_looked_at_is_no_alarm_and_what_is_wrong_is(tmp_path: Path) -> None:
    step = step_result("a")
    counted = {**step.ledger, "checked": 80, "uncheckable": 7, "stale": 3}
    made = result(Verdict.FAIL, ["3 stale"], steps=[replace(step, ledger=counted)])
    text = written(tmp_path, made)

    assert '<td class="bad">3</td>' in text
    assert "<td>80</td><td>7</td>" in text.replace("\n", "")


def test_drain_steps_say_so_in_the_table() -> None:
    made = table.BenchmarkReport()
    made.add(
        result(
            steps=[step_result("d", mode="drain", throughput_per_s=None, drain_rate_per_s=1234.4)]
        )
    )

    assert " 1,234/s drain " in made.table()


def test_arrivals_have_columns_where_they_are_not_zero() -> None:
    quiet, troubled = table.BenchmarkReport(), table.BenchmarkReport()
    quiet.add(result())
    arrivals = replace(step_result().arrivals, failed=3, dropped=2, started=998, completed=995)
    troubled.add(result(steps=[step_result(), step_result("t", arrivals=arrivals)]))

    assert "Failed" not in quiet.table()
    assert "Failed Dropped Verdict" in troubled.table()
    assert [line.split()[-3:] for line in troubled.table().splitlines()[3:]] == [
        ["0", "0", "PASS"],
        ["3", "2", "PASS"],
    ]


def test_an_invalid_runs_numbers_stand_in_brackets() -> None:
    made = table.BenchmarkReport()
    made.add(result(Verdict.INVALID))

    assert "[100/s]" in made.table()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (result(Verdict.INVALID), "answers nothing"),
        (result(Verdict.ERROR), "did not come to an answer"),
        (
            result(steps=[step_result(throughput_per_s=None, drain_rate_per_s=500.0)]),
            "drained at 500/s",
        ),
        (result(steps=[step_result(throughput_per_s=None, latency_ms={})]), "smoke run"),
        (result(steps=[step_result(ledger={"lost": 3, "fences": "complete"})]), "3 lost."),
        (result(steps=[step_result(ledger={"fences": "incomplete"})]), "unseen, not lost"),
        (
            result(scaling=SCALING),
            "4 partitions and 2 instances drained 3,000/s into the slow sink, 3.00 times",
        ),
        (
            result(steps=[step_result(pressure=PRESSURE)]),
            "held at most 55% of its bound and grew by 4.2 MB",
        ),
        (
            result(steps=[step_result("big", messages=9999, warm_up=True), step_result("small")]),
            "(small)",
        ),
    ],
)
def test_the_answer_fits_the_run(made: Result, said: str) -> None:
    assert said in answer(made)
