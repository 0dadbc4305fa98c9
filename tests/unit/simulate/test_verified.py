"""What systemd and podman said, as they really say it (systemd 257, podman 5.4)."""

from __future__ import annotations

import pytest

from orlop.simulate.verified import FindingKind, UnitFinding, findings, not_understood

LINES = [
    ("absent.service: Command /usr/bin/docker is not executable: No such file or directory",
     UnitFinding("absent.service", FindingKind.ABSENT, "/usr/bin/docker")),
    ("a.service: Command /b is not executable: Permission denied", UnitFinding("a.service", FindingKind.MAY_NOT, "/b")),
    ("t@one.service: Failed to create t@one.service/start: Unit docker.service not found.",
     UnitFinding("t@one.service", FindingKind.NEEDS, "docker.service")),
    ("h.service: Failed to create h.service/start: Unit g.service is masked.",
     UnitFinding("h.service", FindingKind.MASKED, "g.service")),
    ("d.socket: service d.service not loaded, socket cannot be started.",
     UnitFinding("d.socket", FindingKind.NEEDS, "d.service")),
    ("m.service: Service has more than one ExecStart= setting. Refusing.",
     UnitFinding("m.service", FindingKind.REFUSED,
             "Service has more than one ExecStart= setting.")),
    ("/sysroot/etc/systemd/system/a.service:4: Unknown key 'Typo' in section [Service], ignoring.",
     UnitFinding("a.service", FindingKind.IGNORED, "line 4: Unknown key 'Typo' in section [Service]",
             "/etc/systemd/system/a.service")),
    ("/sysroot/run/systemd/system/w.service:9: Unknown key 'X' in section [Service], ignoring.",
     UnitFinding("w.service", FindingKind.IGNORED, "line 9: Unknown key 'X' in section [Service]",
             "/run/systemd/generator/w.service")),
    ("/sysroot/etc/systemd/system/a.service.d/x.conf:2: Failed to parse boolean value, ignoring: maybe",
     UnitFinding("a.service", FindingKind.IGNORED, "line 2: Failed to parse boolean value: maybe",
             "/etc/systemd/system/a.service.d/x.conf")),
    ("a.service: something new", UnitFinding("a.service", FindingKind.OTHER, "something new")),
    ("Unit m.service has a bad unit file setting.", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "found"), LINES)
def test_lines(line: str, found: UnitFinding | None) -> None:
    assert list(findings(f"{line}\n{line}\n")) == ([found] if found else [])


def test_quadlet() -> None:
    log = "quadlet-generator[59]: converting \"bad.container\": unsupported key 'Imagex' in group 'Container'\n"
    assert not_understood(log) == {"bad.container": "unsupported key 'Imagex' in group 'Container'"}
