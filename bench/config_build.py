"""How long `orlop config build` takes for a machine with 200 units: `python -m bench.config_build [--json]`.

The whole command is timed, loading Python included, because that is what a person waits for; the translation alone is
timed beside it, so that a slow start is not taken for a slow translator. The median of several runs counts; processor
time is shown too, because on a busy machine the clock measures the others.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = 200
RUNS = 9
LIMIT_SECONDS = 0.3


def config(units: int = UNITS) -> str:
    """A configuration with so many units, each with a drop-in, and a file for each."""
    lines = ["variant: orlop", "version: 1.0.0", "systemd:", "  units:"]
    for n in range(units):
        lines += [f"    - name: app-{n}.service", "      enabled: true", "      contents: |"]
        lines += [f"        {line}" for line in _unit(n)]
        lines += ["      dropins:", "        - name: 10-limits.conf", "          contents: |"]
        lines += ["            [Service]", f"            MemoryMax={64 + n}M"]
    lines += ["storage:", "  files:"]
    for n in range(units):
        lines += [f"    - path: /etc/app/{n}.conf", "      mode: 0644", "      contents:", "        inline: |"]
        lines += [f"          key{k} = value {n * k}" for k in range(20)]
    return "\n".join([*lines, ""])


def _unit(n: int) -> list[str]:
    return [
        "[Unit]",
        f"Description=Application {n}",
        "After=network-online.target",
        "[Service]",
        f"ExecStart=/usr/bin/podman run --rm --name app-{n} localhost/app:{n}",
        "Restart=always",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def measure() -> dict[str, float]:
    """Seconds: `command` for the whole command, `processor` of it, `translate` for the translation alone; medians."""
    from orlop.provision.translate import translate

    text = config()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "node.bu"
        source.write_text(text)
        argv = [sys.executable, "-m", "orlop", "config", "build", str(source), "-o", str(Path(folder) / "node.ign")]
        runs = [_timed(argv) for _ in range(RUNS)]
    alone = []
    for _ in range(RUNS):
        start = time.perf_counter()
        assert translate(text.encode()).ignition is not None
        alone.append(time.perf_counter() - start)
    clock, processor = (statistics.median(values) for values in zip(*runs, strict=True))
    return {"command": clock, "processor": processor, "translate": statistics.median(alone)}


def _timed(argv: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, for one run."""
    start, before = time.perf_counter(), _children()
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - start, _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Print the figures; exit status 1 when the command takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps({"units": UNITS, "limit_seconds": LIMIT_SECONDS, **found}))
    else:
        print(f"config build, {UNITS} units   {found['command']:.3f} s (limit {LIMIT_SECONDS} s)")
        print(f"  processor time          {found['processor']:.3f} s")
        print(f"  the translation alone   {found['translate']:.3f} s")
    return 0 if found["command"] <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
