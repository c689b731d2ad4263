from __future__ import annotations

import threading
import time

import pytest

from facesnap.core.errors import BusyError
from facesnap.serving.queue import FairQueue, Ticket


def filled(*words: str, limit: int = 64, per_client: int = 16) -> FairQueue:
    """Words such as ``a1``: client a, job a1; ``a1/k`` with key k; ``a1*3`` of three pictures."""
    queue = FairQueue(limit, per_client)
    for word in words:
        rest, _, pictures = word.partition("*")
        name, _, key = rest.partition("/")
        queue.put(Ticket(name, name[0], key, int(pictures or 1)))
    return queue


def taken(queue: FairQueue, limit: int = 1) -> list[list[str]]:
    batches = []
    while len(queue):
        batches.append([ticket.id for ticket in queue.take(limit)])
    return batches


def test_a_client_of_many_jobs_does_not_hold_up_the_others() -> None:
    queue = filled("a1", "a2", "a3", "a4", "b1", "c1", "b2")
    expected = ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert queue.order() == expected
    assert [queue.position(job) for job in expected] == list(range(7))
    assert [batch[0] for batch in taken(queue)] == expected


def test_who_comes_while_others_have_had_a_turn_is_next_after_them() -> None:
    queue = filled("a1", "a2", "a3", "b1")
    assert queue.take(1)[0].id == "a1"
    queue.put(Ticket("c1", "c", ""))
    assert [batch[0] for batch in taken(queue)] == ["b1", "a2", "c1", "a3"]


def test_a_batch_takes_what_fits_in_fair_order() -> None:
    queue = filled("a1/x", "a2/x", "a3/x", "b1/y", "b2/x", "c1/x")
    # b1 has another key, and b2 doesn't overtake it.
    assert taken(queue, 3) == [["a1", "c1", "a2"], ["b1"], ["a3", "b2"]]


def test_pictures_are_counted_not_jobs() -> None:
    assert taken(filled("a1*3", "b1*2", "c1*1"), 4) == [["a1", "c1"], ["b1"]]
    assert taken(filled("a1*8", "b1"), 4) == [["a1"], ["b1"]]


def test_it_is_bounded_in_all_and_per_client() -> None:
    queue = filled("a1", "a2", "b1", limit=4, per_client=2)
    with pytest.raises(BusyError, match="2 of your jobs"):
        queue.put(Ticket("a3", "a", ""))
    queue.put(Ticket("c1", "c", ""))
    with pytest.raises(BusyError, match="full") as caught:
        queue.put(Ticket("d1", "d", ""))
    assert caught.value.retry_after > 0
    queue.put(Ticket("d1", "d", ""), force=True)
    assert len(queue) == 5
    assert queue.remove("a1")
    assert queue.remove("d1")
    queue.put(Ticket("a3", "a", ""))


def test_what_is_removed_is_not_taken() -> None:
    queue = filled("a1", "b1", "b2")
    assert queue.remove("b1")
    assert not queue.remove("b1")
    assert queue.position("b1") is None
    assert queue.remove("a1")
    assert taken(queue) == [["b2"]]


def test_taking_waits_for_a_job_and_closing_wakes() -> None:
    queue = FairQueue(4, 4)
    assert queue.take(1, timeout=0.01) == []
    found: list[list[Ticket]] = []
    threads = [threading.Thread(target=lambda: found.append(queue.take(1))) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.put(Ticket("a1", "a", ""))
    for _ in range(200):
        if found:
            break
        time.sleep(0.01)
    assert [ticket.id for ticket in found[0]] == ["a1"]
    queue.close()
    for thread in threads:
        thread.join(5)
    assert found[1] == []
    with pytest.raises(BusyError, match="stopping"):
        queue.put(Ticket("a2", "a", ""))


def test_many_threads_lose_and_double_nothing() -> None:
    queue = FairQueue(1000, 1000)
    seen: list[str] = []

    def put(client: str) -> None:
        for i in range(100):
            queue.put(Ticket(f"{client}{i}", client, i % 3))

    def take() -> None:
        while batch := queue.take(4, timeout=0.3):
            seen.extend(ticket.id for ticket in batch)

    threads = [threading.Thread(target=put, args=(c,)) for c in "abcd"] + [threading.Thread(target=take)] * 1
    threads.append(threading.Thread(target=take))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == sorted(f"{c}{i}" for c in "abcd" for i in range(100))
