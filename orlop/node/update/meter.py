"""How fast the writing goes and how long it will take: a window of a few seconds over what `Progress` counts.

Blocks that are reused move at the speed of a disk, those that are fetched at that of a network, so an average over all
that was done would promise too much; the last seconds are what comes next, most likely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from orlop.node.update.slot.progress import Progress

WINDOW_SECONDS = 10.0
_LEAST_SECONDS = 1.0  # before that, no rate is told
_EVERY_SECONDS = 0.2


class Meter:
    """Fed through `moved`; `rate` is bytes a second, None when nothing moves."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def moved(self, progress: Progress) -> None:
        now = self._clock()
        if self._seen and progress.done < self._seen[-1][1]:
            self._seen.clear()
        if self._seen and now - self._seen[-1][0] < _EVERY_SECONDS:
            return
        self._seen.append((now, progress.done))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()

    def rate(self) -> float | None:
        if not self._seen or self._clock() - self._seen[-1][0] > WINDOW_SECONDS:
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended - began >= _LEAST_SECONDS else None

    def seconds_left(self, progress: Progress) -> float | None:
        rate = self.rate()
        return max(0, progress.total - progress.done) / rate if rate else None
