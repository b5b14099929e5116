"""Faults as a shape: a step for each, the same for the same seed, on a pipeline that is watched."""

from __future__ import annotations

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.options import resolve, texts
from cdc_users.pipeline.provision import allow_list
from cdc_users.scenario import Step, rig_key
from infra.faults.fault import faults
from infra.stack.endpoints import Endpoints
from locustfiles.faults import FaultsShape

pytestmark = pytest.mark.gevent


def steps(**given: str) -> tuple[Step, ...]:
    return FaultsShape.steps(resolve(texts(given, FaultsShape.scenario.defaults)))


def names(found: tuple[Step, ...]) -> list[str]:
    return [step.fault.name for step in found if step.fault is not None]


def test_each_fault_of_each_round_is_a_step_of_its_own() -> None:
    found = steps(faults="kill-connect,pause-kafka", rounds="3")

    assert sorted(names(found)) == ["kill-connect"] * 3 + ["pause-kafka"] * 3
    assert len({step.name for step in found}) == 6
    assert all(step.name.startswith("faults-") for step in found)


def test_the_same_seed_makes_the_same_steps_and_another_one_others() -> None:
    given = {"faults": "all", "rounds": "2"}

    assert steps(**given, seed="5") == steps(**given, seed="5")
    assert names(steps(**given, seed="5")) != names(steps(**given, seed="6"))


def test_the_load_may_be_a_share_of_a_capacity_in_events() -> None:
    (step,) = steps(faults="pause-kafka", at="50%", capacity="800/s", rows_per_transaction="4")

    assert step.schedule.count / step.schedule.duration_s == pytest.approx(100, rel=0.01)


def test_the_load_outlasts_each_fault() -> None:
    for step in steps(faults="pause-kafka", hold="30s", recover="20s", rate="100"):
        assert step.fault is not None
        assert step.schedule.duration_s > step.fault.inject_at_s + 30 + 20


def test_a_sink_is_watched_beside_its_platform_and_a_relay_stands_where_one_is_needed() -> None:
    (plain,) = steps(faults="kill-platform")
    (relayed,) = steps(faults="silent-network")

    (before_sink,) = steps(faults="silent-sink-network")
    (before_kafka,) = steps(faults="slow-kafka-network")
    (before_registry,) = steps(faults="silent-registry-network")
    relayed_steps = (plain, relayed, before_sink, before_kafka, before_registry)

    assert plain.pipeline.watched
    assert [step.pipeline.relayed for step in relayed_steps] == [
        (),
        ("source",),
        ("sink",),
        ("kafka",),
        ("registry",),
    ]


def test_what_leaves_a_pipeline_behind_that_nobody_can_use_has_one_of_its_own() -> None:
    found = steps(faults="drop-slot,pause-kafka,end-walsender")
    rigs = {
        name: rig_key(number, step)
        for number, (name, step) in enumerate(zip(names(found), found, strict=True), start=1)
    }

    assert rigs["pause-kafka"] == rigs["end-walsender"] != rigs["drop-slot"]


def test_servers_are_prepared_for_a_fault_that_needs_it_anew_each_time() -> None:
    found = steps(faults="planned-fail-over,pause-kafka", rounds="2")
    prepared = {step.fault.name: step.pipeline.prepared_for for step in found if step.fault}
    keys = [rig_key(number, step) for number, step in enumerate(found, start=1)]

    assert prepared == {"planned-fail-over": "planned-fail-over", "pause-kafka": ""}
    assert len(set(keys)) == 3


def test_all_leaves_out_what_the_pipeline_does_not_allow_and_says_so() -> None:
    options = resolve(texts({"faults": "all"}, FaultsShape.scenario.defaults))

    done, left_out = names(FaultsShape.steps(options)), FaultsShape.skipped(options)

    assert "kill-reader" not in done
    assert any("kill-reader" in reason for reason in left_out)
    assert len(done) + len({reason.split()[3] for reason in left_out}) == len(faults().by_name)


def test_all_leaves_out_what_the_servers_forbid_and_needs_nothing_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN servers in containers, before which no relay can stand."""
    url = "http://127.0.0.1:2"
    found = Endpoints("compose", "host=127.0.0.1 port=1", "127.0.0.1:1", url, url)
    monkeypatch.setattr(allow_list, "find", lambda *_: found)
    options = resolve(texts({"faults": "all"}, FaultsShape.scenario.defaults))

    done, left_out = FaultsShape.steps(options), FaultsShape.skipped(options)

    assert "pause-kafka" in names(done)
    assert not {"slow-network", "full-broker-disk"} & set(names(done))
    assert {step.pipeline.relayed for step in done} == {()}
    (relays,) = [reason for reason in left_out if "a relay on loopback" in reason]
    assert "slow-network" in relays


def test_all_that_is_wrong_is_told_together() -> None:
    with pytest.raises(OptionsError) as caught:
        steps(faults="kill-reader,webhook-hangs")

    assert len(caught.value.mistakes) == 2
