"""What a machine says of its updates: one document, and the ways it is shown.

The document is what the local API gives, what `orlop node status --json` prints, and what the text and the metrics are
made from; docs/protocol/node-api.md describes every field. Invariant: a field, once there, keeps its meaning; who
reads a document ignores fields that he does not know.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from orlop.errors import BadInput
from orlop.model.release.policy import span
from orlop.model.update import ailing
from orlop.model.update.decide import Health
from orlop.model.update.facts import Facts
from orlop.model.update.memory import Memory
from orlop.model.update.reboot import Off, Strategy, Window
from orlop.model.update.state import UNDER_WAY, to_json
from orlop.model.words.version import Version

FORMAT = 1
_UNDER_WAY = tuple(kind.__name__.lower() for kind in UNDER_WAY)
Document = dict[str, Any]


def slots(facts: Facts) -> list[Document]:
    """Both slots, A first."""
    mine = _slot(facts, facts.running, facts.running_hash, facts.letter, runs=True)
    other = _slot(facts, facts.other, facts.other_hash, "B" if facts.letter == "A" else "A", runs=False)
    return sorted((mine, other), key=lambda slot: str(slot["slot"]))


def _slot(facts: Facts, version: Version | None, root_hash: str, letter: str, *, runs: bool) -> Document:
    uki = facts.uki(version) if version else None
    return {
        "slot": letter,
        "running": runs,
        "version": str(version) if version else None,
        "root_hash": root_hash,
        "boots": uki is not None,
        "blessed": uki is not None and uki.blessed,
        "tries_left": None if uki is None or uki.blessed else uki.left,
        "failed": uki is not None and uki.bad and uki.done > 0,
        "set_aside": uki is not None and uki.bad and not uki.done,
    }


def memory_part(memory: Memory) -> Document:
    return {
        "state": to_json(memory.state),
        "reboot": memory.reboot,
        "hold": memory.hold,
        "failure": memory.failure,
        "failures": memory.failures,
        "retry_at": moment(memory.retry_at),
        "checked_at": moment(memory.checked_at),
        "reboot_lock": memory.lock,
        "wish": None if memory.wish is None else str(memory.wish.version),
        "excused": [
            {"version": str(e.version), "reason": e.reason, "count": e.count, "retry_at": moment(e.retry_at)}
            for e in memory.excused
        ],
        "denied": [
            {"version": str(d.version), "reason": d.reason, "at": moment(d.at), "excerpt": d.excerpt}
            for d in memory.denied
        ],
    }


def strategy_part(strategy: Strategy, now: datetime) -> Document:
    """`next_window` is when the window that is open opened, or when the next one will; None without windows."""
    if isinstance(strategy, Window):
        return {"strategy": "window", "next_window": moment(strategy.opened(now) or strategy.opens(now))}
    return {"strategy": "off" if isinstance(strategy, Off) else "immediate", "next_window": None}


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def under_way(doc: Document, version: str) -> bool:
    """Whether the version is on its way to being staged."""
    state = doc["state"]
    return state["is"] in _UNDER_WAY and state.get("version") == version


def parse(text: str | bytes, what: str) -> Document:
    """Raises BadInput when it is no document of a format that is known."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(f"{what} is not valid JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"{what} is of another format", hint="use an `orlop` of the machine's version")
    return document


def lines(doc: Document) -> list[str]:
    """As text, for a person."""
    state = doc["state"]
    about = state["is"] + (f" {state['version']}" if "version" in state else "")
    slots_text = [f"{slot['slot']}  {_slot_text(slot)}" for slot in doc["slots"]]
    shown = [*_named("slots", slots_text), ("state", about)]
    if progress := progress_text(doc):
        shown.append(("progress", progress))
    shown.append(("reason", doc["reason"]))
    shown.append(
        ("follows", f"{doc['channel']}, group {doc['group']}" + (f", pinned to {doc['pin']}" if doc["pin"] else ""))
    )
    shown.append(("reboot", _reboot_text(doc)))
    if doc["hold"]:
        shown.append(("held", doc["hold"]))
    if doc["checked_at"]:
        shown.append(("checked", doc["checked_at"]))
    if doc["failure"]:
        again = f" (again at {doc['retry_at']})" if doc["retry_at"] else ""
        shown.append(("failure", doc["failure"] + again))
    shown += health_rows(doc)
    shown += _named("hardware", doc.get("hardware", []))
    if doc.get("wish"):
        shown.append(("then", f"{doc['wish']}, which was asked for"))
    later = [f"{e['version']}  again at {e['retry_at']}: {e['reason']}" for e in doc.get("excused", [])]
    shown += _named("later", later)
    shown += _named("denied", [f"{d['version']}  {d['reason']}" for d in doc["denied"]])
    return [f"{name:<9} {text}".rstrip() for name, text in shown]


def health_part(health: Health) -> Document:
    verdict = {None: None, True: "good", False: "bad"}[health.good]
    return {"health": {"verdict": verdict, "reason": health.reason}}


def health_rows(doc: Document) -> list[tuple[str, str]]:
    """What the boot was judged, a row for each thing that was wrong, and what is wrong now."""
    health = doc["health"]
    verdict = "no verdict yet" if health["reason"] and not health["verdict"] else health["verdict"] or ""
    first, *more = str(health["reason"]).split("; ")
    rows = [verdict + (f": {first}" if first else ""), *more] if verdict else []
    return [*_named("health", rows), *_named("now", ailing.sentences(doc))]


def _named(name: str, texts: list[str]) -> list[tuple[str, str]]:
    return [(name if n == 0 else "", text) for n, text in enumerate(texts)]


def _slot_text(slot: Document) -> str:
    if slot["version"] is None:
        return "empty"
    words = [slot["version"], *(["running"] if slot["running"] else [])]
    if slot["blessed"]:
        words.append("blessed")
    elif slot["failed"]:
        words.append("failed")
    elif slot["set_aside"]:
        words.append("set aside")
    elif slot["boots"]:
        words.append(f"{slot['tries_left']} tries left")
    else:
        words.append("does not boot: the ESP has no UKI of it")
    return ", ".join(words)


def _reboot_text(doc: Document) -> str:
    by_strategy = {"immediate": "at once", "off": "never by itself"}
    text = {"now": "as soon as it is staged", "by-hand": "by hand"}.get(doc["reboot"])
    text = text or by_strategy.get(doc["strategy"]) or f"in the window from {doc['next_window']}"
    return text + ("" if doc["reboot_lock"] == "free" else f", reboot lock {doc['reboot_lock']}")


def progress_text(doc: Document) -> str:
    """`comparing: 12 %`, then `fetching: 45 % (62.1 of 138.2 MB), 12.3 MB/s, about 6 s left`; empty when nothing is
    under way.
    """
    progress = doc["progress"]
    if progress is None or not progress["total"]:
        return ""
    if progress["step"] != "fetching":
        looked = (
            progress.get("to_look") and f": {progress['looked'] * 100 // progress['to_look']} %"
        )  # older nodes say none
        return f"{progress['step']}{looked or ''}"
    part = f"{progress['step']}: {progress['done'] * 100 // progress['total']} %"
    part += f" ({_mb(progress['done'])} of {_mb(progress['total'])} MB, {_mb(progress['received'])} MB received)"
    if progress["rate"]:
        part += f", {_mb(progress['rate'])} MB/s"
    if progress["seconds_left"] is not None:
        part += f", about {_left(progress['seconds_left'])} left"
    return part


def _left(seconds: float) -> str:
    return span(timedelta(seconds=seconds))


def _mb(count: float) -> str:
    return f"{count / 1e6:.1f}"


def headline(doc: Document) -> str:
    """One line, as `systemctl status` shows it."""
    return progress_text(doc) or str(doc["reason"])


def metrics(doc: Document, states: tuple[str, ...]) -> str:
    """For Prometheus, its text format 0.0.4. `states` are the names of all states."""
    progress = doc["progress"] or {"total": 0, "done": 0, "received": 0, "reused": 0}
    running = next((slot for slot in doc["slots"] if slot["running"]), None)
    version = running["version"] if running else ""
    info = f'{{version="{version}",channel="{doc["channel"]}",group="{doc["group"]}"}}'
    out: list[str] = []

    def gauge(name: str, about: str, *samples: tuple[str, float]) -> None:
        full = f"orlop_update_{name}"
        out.extend((f"# HELP {full} {about}", f"# TYPE {full} gauge"))
        out.extend(f"{full}{labels} {int(value)}" for labels, value in samples)

    gauge("info", "What runs, and what it follows.", (info, 1))
    state = doc["state"]["is"]
    gauge("state", "1 for the state that the engine is in.", *((f'{{state="{s}"}}', s == state) for s in states))
    gauge("running_blessed", "Whether what runs has proven itself.", ("", bool(running and running["blessed"])))
    gauge("held", "Whether updates are held.", ("", bool(doc["hold"])))
    gauge("denied_versions", "Versions on the deny list.", ("", len(doc["denied"])))
    gauge("hardware_notes", "What of the machine's disks is not as it should be.", ("", len(doc.get("hardware", []))))
    gauge("failures", "Failures in a row.", ("", doc["failures"]))
    verdict = doc["health"]["verdict"]
    gauge("boot_good", "Whether this boot was judged good.", ("", verdict == "good"))
    gauge("troubles", "What is wrong with the machine now, by kind.", *ailing.samples(doc))
    checked = ("", _seconds(doc["checked_at"]))
    gauge("last_check_timestamp_seconds", "When releases were asked for last; 0: never.", checked)
    gauge("progress_bytes", "How far the update is.", ("", progress["done"]))
    gauge("progress_total_bytes", "The size of the update.", ("", progress["total"]))
    gauge("received_bytes", "Bytes of this update that came over the network.", ("", progress["received"]))
    gauge("reused_bytes", "Bytes of this update that the machine had.", ("", progress["reused"]))
    return "\n".join(out) + "\n"


def _seconds(stamp: str | None) -> float:
    if stamp is None:
        return 0
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
