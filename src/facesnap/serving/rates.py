"""How often a client may ask: token buckets, one per client, as many as fit a fixed number of clients."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

#: Clients that are remembered; beyond that the one that was quiet for longest is forgotten.
MAX_CLIENTS: Final = 10_000


class Rates:
    """A bucket of ``per_minute`` requests for each client, which fills up again evenly within a minute.

    Args:
        per_minute: requests on average, and also how many may come at once after a quiet minute.
        clock: seconds, for tests.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (what is left, when)

    def take(self, client: str) -> float:
        """Count a request: 0 when it may go ahead, else the seconds until one may."""
        with self._lock:
            now = self._clock()
            left, then = self._buckets.get(client, (self.per_minute, now))
            left = min(self.per_minute, left + (now - then) * self.per_minute / 60.0)
            allowed = left >= 1.0
            self._buckets[client] = (left - 1.0 if allowed else left, now)
            self._buckets.move_to_end(client)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) * 60.0 / self.per_minute


def address_of(host: str | None) -> str:
    """What counts as one client's address: of IPv6 the first 64 bits, all of which one household has."""
    try:
        address = ipaddress.ip_address((host or "").split("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
