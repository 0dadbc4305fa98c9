"""`orlop lab push`: try a changed line on machines that run, without an image and without a boot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import typer

from orlop.errors import CommandFailed, Missing, OrlopError
from orlop.lab.lab import Lab
from orlop.lab.layer import Tree
from orlop.lab.machine import Node
from orlop.lab.push import Push, Pushed
from orlop.steps import Steps

HELP = """Put the working tree's node programs, units and scripts onto machines that run, and restart what they concern.

Everything in which the tree differs from a machine's image is laid over it, in place of what was pushed before.
A service of ours is restarted when its unit, its script or a module it uses has changed, if it runs or has failed.
The machine forgets all of it when it boots again. Until then `orlop lab status` says that it is modified.

What is in the initrd, in /etc or on the kernel's command line takes an image: such files are named, not pushed.
"""


def push(lab: Lab, steps: Steps, names: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    """To the machines `names`, or to all that run. One that fails does not keep the others from theirs."""
    nodes = [lab.node(name) for name in dict.fromkeys(names)] or [node for node in lab.nodes if node.running]
    if not nodes:
        raise Missing(f"no machine of lab {lab.name!r} runs", hint="`orlop lab start n1` starts one")
    work = Push(lab.paths.ws, Tree(lab.paths.ws.root), dry_run=dry_run)
    done = [_one(work, node, steps, alone=len(nodes) == 1) for node in nodes]
    if as_json:
        print(json.dumps([asdict(result) for result in done], indent=1))
    else:
        print("\n".join(line for result in done for line in lines(result, dry_run=dry_run)))
    if not all(result.is_well for result in done):
        raise typer.Exit(1)


def _one(work: Push, node: Node, steps: Steps, *, alone: bool) -> Pushed:
    try:
        with steps.step(f"{'Comparing with' if work.dry_run else 'Pushing to'} {node.name}"):
            return work.to(node)
    except OrlopError as e:
        if alone:
            raise
        output = e.tail if isinstance(e, CommandFailed) else ""
        return replace(Pushed(node.name), trouble=e.message, hint=e.hint, said=output)


def lines(result: Pushed, *, dry_run: bool) -> list[str]:
    """The result for a person."""
    name = result.node
    if result.trouble:
        hint = [f"{name}: hint: {result.hint}"] if result.hint else []
        return [*_indented(result.said), f"{name}: error: {result.trouble}", *hint]
    count = len(result.files)
    differ = f"{count or 'no'} file{'' if count == 1 else 's'} of the tree differ{'s' if count == 1 else ''}"
    head = f"{name}: {differ} from image {result.version}"
    if not result.changed:
        return [f"{head}{', and it has them already' if count else ''}: nothing to do", *_needs_image(result)]
    units = " ".join(result.restarted) or "nothing"
    head += f"; {'would restart' if dry_run else 'restarted'} {units}"
    rows = [head if dry_run else f"{head}; {result.seconds:.1f} s"]
    if dry_run:
        rows += [f"  {path}" for path in result.changed]
    if result.idle:
        rows.append(f"  not started, since they did not run: {' '.join(result.idle)}")
    if result.left:
        rows.append(f"  not run again, since they mark a boot's beginning and end: {' '.join(result.left)}")
    if result.verdict:
        rows.append(f"  verdict: {result.verdict}")
    if result.failed:
        rows += [f"  error: failed: {' '.join(result.failed)}", *_indented(result.said)]
    return [*rows, *_needs_image(result)]


def _needs_image(result: Pushed) -> list[str]:
    if not result.needs_image:
        return []
    return [
        "  these differ too and count only in a new image (`orlop image build`):",
        *_indented("\n".join(result.needs_image)),
    ]


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]
