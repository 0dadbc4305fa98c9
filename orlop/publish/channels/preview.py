"""What machines will do about a change, before it is signed: the machine's own policy, asked for many machines. Pure.

Every version that a channel has or had is taken as what some machines run. For each of them a number of machines with
fixed secrets answer the old document and the new one; what differs is told.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from orlop.model.release.channel import Channel
from orlop.model.release.policy import Answer, Go, Machine, Stay, Wait, answer
from orlop.model.words.arch import BUILT
from orlop.model.words.version import Version

MACHINES = 400
_SECRETS = [hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(MACHINES)]
_OLDER = Version(date(1, 1, 1), 0)


@dataclass(frozen=True)
class Outlook:
    """What machines that run `current` do: each sentence with the share of them, largest first."""

    current: str
    parts: tuple[tuple[float, str], ...]

    @property
    def at_rest(self) -> bool:
        """They run the newest, and that is no news."""
        return all(text.startswith("stay (running ") for _, text in self.parts)


def preview(old: Channel | None, new: Channel, *, arch: str = BUILT.name, group: str = "") -> list[str]:
    """A line for each kind of machine that will do something else than before, as of the moment of the change: a clock
    read once more would be a second further by chance, and find a first wave that has begun.
    """
    now = new.changed
    before = {o.current: o for o in outlooks(old, now, arch, group, also=new)} if old is not None else {}
    lines = []
    for outlook in outlooks(new, now, arch, group, also=old):
        was = before.get(outlook.current)
        if (was is None or was.parts != outlook.parts) and not outlook.at_rest:
            lines.append(f"machines on {outlook.current}: {said(outlook)}")
    if old is not None and old.minimum_secure != new.minimum_secure:
        lines.append(f"machines below {new.minimum_secure} will say that they are insecure")
    return lines or ["no machine will do anything else than before"]


def outlooks(channel: Channel, now: datetime, arch: str, group: str, also: Channel | None = None) -> Iterator[Outlook]:
    """For every version that machines may run, and for those that run an older one than all."""
    known = sorted({e.version for c in (channel, also) if c is not None for e in c.entries})
    for current in (_OLDER, *known):
        machines = (Machine(current, channel.name, secret, arch, group) for secret in _SECRETS)
        answers = [answer(channel, machine, now) for machine in machines]
        times: dict[str, list[datetime]] = {}
        for sample in answers:
            if isinstance(sample, Wait):
                times.setdefault(_part(sample, current), []).append(sample.at)
        counted = Counter(_part(sample, current) for sample in answers)
        parts = [(count / MACHINES, _with_times(text, times.get(text))) for text, count in counted.most_common()]
        yield Outlook("an older version" if current == _OLDER else str(current), tuple(parts))


def said(outlook: Outlook) -> str:
    if len(outlook.parts) == 1:
        return outlook.parts[0][1]
    return "; ".join(f"{_percent(share)} {text}" for share, text in outlook.parts)


def _percent(share: float) -> str:
    """Of a sample: that some are in it is told even when they are few."""
    return "under 1%" if share < 0.01 else "over 99%" if share > 0.99 else f"{share:.0%}"


def _part(answer: Answer, current: Version) -> str:
    match answer:
        case Go(version):
            return f"go {'back ' if version < current else ''}to {version} now"
        case Wait(version):
            return f"go {'back ' if version < current else ''}to {version}"
        case Stay(reason):
            _, _, why = reason.partition(": ")
            return f"stay ({_short(why)})"


def _short(reason: str) -> str:
    """Without the version that runs, which the line names already."""
    first, _, rest = reason.partition("; ")
    return rest.partition("; ")[0] if first.startswith("running ") and rest else first


def _with_times(text: str, times: list[datetime] | None) -> str:
    """When those who go later go, from the first to the last of the sample."""
    return f"{text} from {_moment(min(times))} to {_moment(max(times))}" if times else text


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
