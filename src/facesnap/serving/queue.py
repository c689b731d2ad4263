"""Whose turn it is: a bounded queue that is fair between clients and hands out what fits together."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass

from facesnap.core.errors import BusyError


@dataclass(frozen=True)
class Ticket:
    """A job that waits. ``key``: what is equal in jobs that can be painted at once; ``pictures``: how many it makes."""

    id: str
    client: str
    key: Hashable
    pictures: int = 1


class FairQueue:
    """Round robin over clients, first come first served within each. Safe for threads.

    Args:
        limit: jobs that wait, of everyone.
        per_client: jobs that wait, of one client.
    """

    def __init__(self, limit: int, per_client: int) -> None:
        self.limit, self.per_client = limit, per_client
        # In the order of their turns; a client without jobs isn't here.
        self._clients: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, ticket: Ticket, force: bool = False) -> None:
        """Queue a job; ``force``: however many there are, for those of an earlier run.

        Raises:
            BusyError: the queue is full, in all or for this client; or it is closed.
        """
        with self._changed:
            own = len(self._clients.get(ticket.client, ()))
            if self._closed:
                raise BusyError("the server is stopping: try again later", retry_after=30)
            if not force and self._count() >= self.limit:
                raise BusyError(f"the queue is full ({self.limit} job(s)): try again in a while")
            if not force and own >= self.per_client:
                raise BusyError(f"{own} of your jobs are waiting, which is the most: try again when one is done")
            self._clients.setdefault(ticket.client, deque()).append(ticket)
            self._changed.notify()

    def take(self, limit: int, timeout: float | None = None) -> list[Ticket]:
        """The next job, and those of the following turns that can be painted with it.

        Each client gives at most its next job per round, so nobody's jobs overtake their own. Who gave one has had
        their turn.

        Args:
            limit: the most pictures in all; a job of more comes alone.
            timeout: seconds to wait for a job; None waits until there is one, or the queue is closed.

        Returns:
            None of them after ``timeout``, or when the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._clients or self._closed, timeout)
            if self._closed or not self._clients:
                return []
            first = self._pop(next(iter(self._clients)))
            batch, room = [first], limit - first.pictures
            found = True
            while found and room > 0:
                found = False
                for client in list(self._clients):
                    head = self._clients[client][0]
                    if head.key == first.key and head.pictures <= room:
                        batch.append(self._pop(client))
                        room -= head.pictures
                        found = True
            return batch

    def remove(self, job_id: str) -> bool:
        """Take a job out. False if it isn't in here (any more)."""
        with self._changed:
            for client, waiting in self._clients.items():
                for ticket in waiting:
                    if ticket.id == job_id:
                        waiting.remove(ticket)
                        if not waiting:
                            del self._clients[client]
                        return True
            return False

    def order(self) -> list[str]:
        """Ids in the order in which they would be taken one by one."""
        with self._changed:
            rows = [list(waiting) for waiting in self._clients.values()]
        longest = max(map(len, rows), default=0)
        return [row[turn].id for turn in range(longest) for row in rows if turn < len(row)]

    def position(self, job_id: str) -> int | None:
        """Place in the queue, 0 is next; None if it isn't in here."""
        order = self.order()
        return order.index(job_id) if job_id in order else None

    def close(self) -> None:
        """Give out nothing more, and take nothing; who waits is woken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def _count(self) -> int:
        return sum(map(len, self._clients.values()))

    def _pop(self, client: str) -> Ticket:
        """A client's next job; it is the others' turn then."""
        waiting = self._clients[client]
        ticket = waiting.popleft()
        if waiting:
            self._clients.move_to_end(client)
        else:
            del self._clients[client]
        return ticket
