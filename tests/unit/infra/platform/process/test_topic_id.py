"""A topic that was deleted, or made again, is another one; one that is moving is not."""

from __future__ import annotations

from infra.platform.process.topic_id import TopicWatch, changed_topics


def test_topics_that_were_made_again_or_deleted_are_told_from_those_that_were_not() -> None:
    found = changed_topics({"a": "1", "b": "1", "c": "1", "d": ""}, {"a": "1", "b": "2", "d": "4"})

    assert set(found) == {"b", "c"}
    assert "made again" in found["b"]
    assert found["c"] == "the topic was deleted while it was in use"


def test_a_topic_is_gone_that_is_missing_twice_in_a_row() -> None:
    watch, known = TopicWatch(), {"a": "1"}

    assert watch.changed(known, {}) == {}
    assert watch.changed(known, {"a": "1"}) == {}
    assert watch.changed(known, {}) == {}
    assert set(watch.changed(known, {})) == {"a"}


def test_a_topic_that_was_made_again_is_another_one_at_once() -> None:
    assert set(TopicWatch().changed({"a": "1"}, {"a": "2"})) == {"a"}
