"""Put what the working tree holds onto machines that run, over what their image holds, and restart what it concerns.

A push is whole: the machine gets everything in which the tree differs from the image it runs, as one layer, which takes
the place of the layer before. Lifetime: until the machine boots again, because it is all in the machine's /run.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from orlop import built
from orlop.errors import CommandFailed, Missing
from orlop.lab.affected import Effects, differences, effects
from orlop.lab.layer import Layer, Tree, make_layer
from orlop.lab.machine import Node
from orlop.machines import remote
from orlop.model.words.strict import Wrong
from orlop.workspace import Workspace

SCRIPT = Path(__file__).with_name("push.sh")
# answered before anything is compared: which image it is, and what it was given before
ASK = """
. /usr/lib/os-release
echo "$IMAGE_VERSION $BUILD_ID"
cat /run/orlop/pushed/current/files.json 2> /dev/null || echo {}
"""
SECONDS = 900.0  # a health check may soak, and a service that does not start takes its own time to fail


@dataclass(frozen=True)
class Pushed:
    """What became of one machine. `files`: in which its image and the tree differ; `changed`: of these and of what it
    was given before, those that it had otherwise. `left` and `idle`: units that are concerned and were not run again,
    as they run once a boot, or did not run. `said`: the last words of units that failed.
    """

    node: str
    version: str = ""
    files: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    needs_image: tuple[str, ...] = ()
    verdict: str = ""
    said: str = ""
    seconds: float = 0.0
    trouble: str = ""
    hint: str = ""

    @property
    def is_well(self) -> bool:
        return not self.failed and not self.trouble


@dataclass
class Push:
    """One push of a tree to any number of machines: what is made for an image is made once."""

    ws: Workspace
    tree: Tree
    dry_run: bool = False
    _layers: dict[tuple[str, str], Layer] = field(default_factory=dict)

    def to(self, node: Node) -> Pushed:
        """Raises as `Node.run`; Missing (the machine's image is not here), BadInput (its Python lacks what the tree
        needs), CommandFailed (it could not be done, and the machine is as it was).
        """
        begun = time.monotonic()
        with ThreadPoolExecutor(1) as pool:  # the tree is read while the machine answers
            asked = pool.submit(node.sh, ASK)
            _ = self.tree.files, self.tree.texts, self.tree.used
            version, build_id, before = parse_answer(node.name, asked.result())
        layer = self._layer(version, build_id)
        changed = differences(layer.files, before)
        todo = effects(changed, self.tree.texts, self.tree.reach) if changed else Effects()
        result = Pushed(
            node.name,
            version,
            files=tuple(layer.files),
            changed=tuple(changed),
            restarted=(*todo.restart, *todo.reread),
            left=todo.left,
            needs_image=layer.needs_image,
        )
        if not self.dry_run and changed:
            result = self._send(node, layer, todo, result)
        return replace(result, seconds=round(time.monotonic() - begun, 1))

    def _layer(self, version: str, build_id: str) -> Layer:
        key = (version, build_id)
        if key not in self._layers:
            self._layers[key] = make_layer(self.ws, self.tree, _image(self.ws, version, build_id), build_id)
        return self._layers[key]

    def _send(self, node: Node, layer: Layer, todo: Effects, result: Pushed) -> Pushed:
        name = f"layer-{time.time_ns()}"
        units = [" ".join(todo.restart), " ".join(todo.reread)]
        words = [name, layer.build_id, str(len(layer.files)), "yes" if todo.units else "no", *units]
        ran = node.run("sh", "-c", SCRIPT.read_text(), "push", *words, stdin=layer.archive, timeout=SECONDS)
        if ran.code != 0:
            why = (ran.err.strip().splitlines() or ["it says nothing"])[-1]
            raise CommandFailed(
                f"nothing was pushed to {node.name}: {why}",
                code=ran.code,
                tail=(ran.out + ran.err)[-2000:],
                hint="it has what it had before, unless the connection broke: `orlop lab status` shows whether it is "
                "modified, and pushing again makes it whole",
            )
        return parse_done(result, ran.out)


def _image(ws: Workspace, version: str, build_id: str) -> Path:
    """The folder of the image that a machine runs. Raises Missing."""
    folder = built.find(ws, version)
    if built.read_manifest(folder).build_id != build_id:
        raise Missing(
            f"the image {version} that is here is another one than the machine's ({build_id})",
            hint="only what a machine's image was made of tells what differs: `orlop image build`, a lab of that",
        )
    return folder


def parse_answer(node: str, text: str) -> tuple[str, str, dict[str, str]]:
    """What a machine says to ASK: version, build and what it was given before. Raises CommandFailed."""
    head, _, rest = text.partition("\n")
    try:
        version, build_id = head.split()
        before = json.loads(rest)
        return version, build_id, {str(path): str(what) for path, what in before.items()}
    except (ValueError, AttributeError):
        raise CommandFailed(f"{node} does not say which image it runs", code=0, tail=text[-2000:]) from None


def parse_done(result: Pushed, out: str) -> Pushed:
    """`result` with what the script on the machine said."""
    words: dict[str, list[str]] = {"ran": [], "failed": [], "idle": [], "verdict": [], "|": []}
    for line in out.splitlines():
        kind, _, rest = line.partition(" ")
        if kind in words:
            words[kind].append(rest)
    verdict = ""
    for text in words["verdict"]:
        try:
            judged = remote.read_verdict(text)
            verdict = ("good" if judged.good else "bad") + (f": {judged.reason}" if judged.reason else "")
        except Wrong:
            verdict = "bad: it cannot be read"
    return replace(
        result,
        restarted=tuple(words["ran"]),
        failed=tuple(words["failed"]),
        idle=tuple(words["idle"]),
        verdict=verdict,
        said="\n".join(words["|"]),
    )
