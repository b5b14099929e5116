"""The percentile distribution as plotters of HdrHistogram read it."""

from __future__ import annotations

from cdc_users.measure.latency.histogram import LatencyHistogram
from tests.unit.cdc_users.measure.latency.test_histogram import histogram_of


def test_the_distribution_is_written_as_plotters_read_it() -> None:
    assert histogram_of([1000, 1000, 2000, 4000]).hgrm() == (
        "       Value     Percentile TotalCount 1/(1-Percentile)\n"
        "\n"
        "       1.000 0.500000000000          2           2.00\n"
        "       2.000 0.750000000000          3           4.00\n"
        "       4.000 1.000000000000          4            inf\n"
        "#[Mean    =        2.000]\n"
        "#[Max     =        4.000, Total count    =            4]\n"
    )


def test_the_distribution_of_nothing_is_written_too() -> None:
    lines = LatencyHistogram().hgrm().splitlines()

    assert lines[2:] == [
        "#[Mean    =        0.000]",
        f"#[Max     = {0:12.3f}, Total count    = {0:12d}]",
    ]
