from __future__ import annotations

import base64
import threading

from facesnap.serving import events as module
from facesnap.serving.events import RING, Events
from facesnap.serving.requests import JobState


def test_events_are_numbered_and_only_the_newest_keeps_its_preview() -> None:
    events = Events()
    events.add("job", JobState.queued)
    events.add("job", JobState.running, 1, 4, b"one")
    events.add("job", JobState.running, 2, 4, b"two")
    found = events.since("job", 0)
    assert found is not None
    assert [event["seq"] for event in found] == [1, 2, 3]
    assert [event["preview"] for event in found] == [None, None, base64.b64encode(b"two").decode()]
    assert events.since("job", 2) == found[2:]
    assert events.since("other", 0) is None


def test_nothing_follows_a_final_state_and_only_that_is_kept() -> None:
    events = Events()
    for step in range(5):
        events.add("job", JobState.running, step, 5)
    events.add("job", JobState.cancelled)
    events.add("job", JobState.running, 5, 5)
    events.add("job", JobState.done)
    assert events.since("job", 0) == [{"seq": 6, "state": "cancelled", "step": 0, "steps": 0, "preview": None}]


def test_memory_is_bounded() -> None:
    events = Events()
    for step in range(10 * RING):
        events.add("job", JobState.running, step, 10 * RING, b"x")
    assert len(events) == RING
    for job in range(2 * module.FINISHED):
        events.add(str(job), JobState.running)
        events.add(str(job), JobState.done)
    assert len(events) == RING + module.FINISHED
    assert events.since("0", 0) is None
    events.drop("job")
    assert len(events) == module.FINISHED


def test_waiting_ends_with_news_with_time_and_with_the_job() -> None:
    events = Events()
    events.add("job", JobState.queued)
    assert events.wait("job", 1, 0.01) == []
    assert events.wait("other", 0, 5) is None
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(events.wait("job", 1, 10)))
    waiting.start()
    events.add("job", JobState.running)
    waiting.join(5)
    assert found == [[{"seq": 2, "state": "running", "step": 0, "steps": 0, "preview": None}]]
    waiting = threading.Thread(target=lambda: found.append(events.wait("job", 2, 10)))
    waiting.start()
    events.drop("job")
    waiting.join(5)
    assert found[1] is None
