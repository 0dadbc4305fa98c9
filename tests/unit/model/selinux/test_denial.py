"""What SELinux refused, in a sentence, and what would allow it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.selinux import denial, policy

OTHER = (
    'audit: type=1400 audit(1.2:3): avc:  denied  { read open } for  pid=812 comm="cat" path="/own" dev="vda5" ino=3 '
    "scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 "
    "tclass=file permissive=0"
)
HOST = OTHER.replace("container_file_t:s0:c3,c4", "state_t:s0")
SYSTEMD = (
    "audit: type=1107 audit(1.2:3): pid=1 uid=0 auid=0 ses=1 subj=system_u:system_r:init_t:s0 msg='avc:  denied  "
    '{ start } for auid=0 uid=0 gid=0 cmdline="systemd-run" scontext=system_u:system_r:admin_t:s0 '
    'tcontext=system_u:system_r:init_t:s0 tclass=system permissive=0 exe="/usr/lib/systemd/systemd"\''
)


def only(line: str) -> denial.Denial:
    read = denial.read(line)
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("line", "sentence", "advice"),
    [
        (OTHER, "a container (cat) was refused to read and open another container's file, /own", "with :z in both"),
        (HOST, "a container (cat) was refused to read and open a file of the host in /var, /own", "mount it with :Z"),
        (SYSTEMD, "a login (/usr/lib/systemd/systemd) was refused to start in process 1", "started by its name"),
        (
            'avc:  denied  { sys_module } for  pid=1 comm="x" capability=16  scontext=a:b:container_t:s0 '
            "tcontext=a:b:container_t:s0 tclass=capability permissive=0",
            "a container (x) was refused to use the capability SYS_MODULE",
            "privileged",
        ),
        (
            'avc:  denied  { write } for  pid=1 comm="dd" path="/dev/vda2" scontext=a:b:admin_t:s0 '
            "tcontext=a:b:disk_device_t:s0 tclass=blk_file permissive=0",
            "a login (dd) was refused to write a disk, /dev/vda2",
            "only the update engine",
        ),
        (
            'avc:  denied  { setenforce } for  pid=1 comm="sh" scontext=a:b:admin_t:s0 '
            "tcontext=a:b:security_t:s0 tclass=security permissive=0",
            "a login (sh) was refused to setenforce SELinux itself",
            "nothing allows it",
        ),
        (
            'avc:  denied  { execute } for  pid=1 comm="sh" name="x" scontext=a:b:system_t:s0 '
            "tcontext=a:b:state_t:s0 tclass=file permissive=0",
            "a service of the system (sh) was refused to run a file of the host in /var, x",
            "bring it to /opt",
        ),
    ],
)
def test_a_sentence_and_what_would_allow_it(line: str, sentence: str, advice: str) -> None:
    refused = only(line)
    assert denial.sentence(refused) == sentence
    assert advice in denial.advice(refused)


@pytest.mark.parametrize(
    "line",
    ["", "hello", OTHER.replace("denied", "granted"), OTHER.replace("scontext", "x"), OTHER.replace("tclass", "y")],
)
def test_other_lines_tell_of_none(line: str) -> None:
    assert denial.read(line) is None


def test_the_same_is_counted_and_the_order_is_that_of_the_first() -> None:
    gathered = denial.gather([HOST, OTHER, "x", HOST.replace("pid=812", "pid=9")])
    assert [(d.target, d.count) for d in gathered] == [("state_t", 2), ("container_file_t", 1)]
    assert denial.lines(gathered)[0].endswith(", 2 times")


@given(st.text())
def test_no_line_is_too_much(text: str) -> None:
    denial.read(text)
    denial.read("avc:  denied  { " + text)


@given(st.lists(st.sampled_from([OTHER, HOST, SYSTEMD])))
def test_a_document_says_what_was_gathered(lines: list[str]) -> None:
    gathered = denial.gather(lines)
    assert denial.parse_document(denial.as_document(gathered), "it") == gathered


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2, "denials": []}', '{"schema": 1, "denials": [{}]}'])
def test_another_document_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match="it cannot be read"):
        denial.parse_document(text, "it")


@pytest.mark.parametrize("path", ["/etc/selinux", "/etc/selinux/config", "/etc//selinux/x", "/etc/x/../selinux"])
def test_the_folder_of_the_policy(path: str) -> None:
    assert policy.is_policy(path)
    assert not policy.is_policy(path.replace("selinux", "selinux2"))
