"""A small memory of what was used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps the ``size`` values that were asked for last. Safe for threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[str, T] = OrderedDict()
        # Held while a value is made, too: one that is dropped meanwhile must not come back.
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[str], T]) -> T:
        """The value of a key, made if it isn't remembered; what ``make`` raises is raised."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make(key)
                if len(self._values) > self.size:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]

    def drop(self, key: str) -> None:
        """Forget a value."""
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
