"""What is a difference, and in whose words it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.drift.difference import Difference, DriftKind, Origin, Owner, TreeEntry, TreeSnapshot, What, compare
from orlop.model.drift.readings import Group, User, parse_groups, parse_users, unit_state
from orlop.model.drift.text import differences_text, lines, parse_differences, parse_snapshot, snapshot_text

FILE = TreeEntry(DriftKind.FILE, 0o644, 0, 0, size=3, sha256="ab" * 32)
FOLDER = TreeEntry(DriftKind.DIR, 0o755, 0, 0)
MASK = TreeEntry(DriftKind.LINK, 0o777, 0, 0, target="/dev/null")
ALICE = User("1000", "1000", "", "/home/alice", "/bin/sh", "set", "m1")


def link(target: str) -> TreeEntry:
    return TreeEntry(DriftKind.LINK, 0o777, 0, 0, target=target)


def files(**entries: TreeEntry) -> TreeSnapshot:
    return TreeSnapshot(entries={f"/etc/{name}": entry for name, entry in entries.items()})


def told(expected: TreeSnapshot, found: TreeSnapshot) -> list[tuple[str, What, str, str]]:
    return [(d.path, d.what, d.expected, d.found) for d in compare(expected, found)]


@pytest.mark.parametrize(
    ("old", "new", "what", "expected", "found"),
    [
        (None, FILE, What.ADDED, "", "file of 3 bytes, mode 0644, owner 0:0"),
        (FILE, None, What.REMOVED, "file of 3 bytes, mode 0644, owner 0:0", ""),
        (FILE, FOLDER, What.KIND, "file of 3 bytes, mode 0644, owner 0:0", "folder, mode 0755, owner 0:0"),
        (FILE, replace(FILE, sha256="cd" * 32), What.CONTENT,
         "3 bytes, sha256 abababababab…", "3 bytes, sha256 cdcdcdcdcdcd…"),
        (FILE, replace(FILE, mode=0o4755), What.MODE, "0644", "4755"),
        (FILE, replace(FILE, uid=1, gid=2), What.OWNER, "0:0", "1:2"),
        (link("a"), link("b"), What.TARGET, "a", "b"),
        (FOLDER, replace(FOLDER, mode=0o777), What.MODE, "0755", "0777"),
    ],
)  # fmt: skip
def test_of_a_path(old: TreeEntry | None, new: TreeEntry | None, what: What, expected: str, found: str) -> None:
    before, after = (TreeSnapshot({"/etc/x": e} if e else {}) for e in (old, new))
    assert told(before, after) == [("/etc/x", what, expected, found)]


def test_one_path_may_differ_in_several_ways() -> None:
    changed = replace(FILE, mode=0o600, uid=1, sha256="cd" * 32)
    assert [d.what for d in compare(files(x=FILE), files(x=changed))] == [What.CONTENT, What.MODE, What.OWNER]


WANTS = "/etc/systemd/system/multi-user.target.wants/web.service"


@pytest.mark.parametrize(
    ("path", "old", "new", "name", "expected", "found"),
    [
        (WANTS, None, link("/usr/lib/systemd/system/web.service"), "web.service",
         "not enabled", "enabled (wanted by multi-user.target)"),
        (WANTS, link("/x"), None, "web.service", "enabled (wanted by multi-user.target)", "not enabled"),
        ("/etc/systemd/system/a.service.requires/b.socket", None, link("/x"), "b.socket",
         "not enabled", "enabled (required by a.service)"),
        ("/etc/systemd/system/web.service", None, MASK, "web.service", "not masked", "masked"),
        ("/etc/systemd/system/web.service", FILE, MASK, "web.service",
         "file of 3 bytes, mode 0644, owner 0:0", "masked"),
        ("/etc/systemd/system/web.service", MASK, None, "web.service", "masked", "not masked"),
        ("/etc/systemd/system/alias.service", link("/u/a.service"), link("/u/b.service"), "alias.service",
         "linked to a.service", "linked to b.service"),
        ("/run/systemd/system/web.service", None, MASK, "web.service", "not masked", "masked until the next boot"),
    ],
)  # fmt: skip
def test_of_a_unit(
    path: str, old: TreeEntry | None, new: TreeEntry | None, name: str, expected: str, found: str
) -> None:
    before, after = (TreeSnapshot({path: e} if e else {}) for e in (old, new))
    (difference,) = compare(before, after)
    assert (difference.what, difference.name) == (What.UNIT, name)
    assert (difference.expected, difference.found) == (expected, found)


def test_a_unit_file_is_a_file_and_a_link_elsewhere_a_link() -> None:
    assert [d.what for d in compare(TreeSnapshot(), TreeSnapshot({"/etc/systemd/system/x.service": FILE}))] == [
        What.ADDED
    ]
    assert unit_state("/etc/foo/x.service", "/dev/null") == ""
    assert unit_state("/etc/systemd/system/x.service.d/y.conf", "/dev/null") == ""


def test_a_user_is_named_and_the_files_about_users_are_not() -> None:
    changed = dict.fromkeys(("/etc/passwd", "/etc/shadow"), FILE)
    before = TreeSnapshot(entries=changed)
    after = TreeSnapshot(entries={p: replace(FILE, sha256="cd" * 32) for p in changed}, users={"alice": ALICE})
    (difference,) = compare(before, after)
    assert (difference.what, difference.name, difference.path) == (What.USER, "alice", "/etc/passwd")
    assert difference.found == "uid 1000, gid 1000, home /home/alice, shell /bin/sh, password set"


def test_another_password_is_told_without_telling_it() -> None:
    (difference,) = compare(TreeSnapshot(users={"a": ALICE}), TreeSnapshot(users={"a": replace(ALICE, mark="m2")}))
    assert difference.path == "/etc/shadow"
    assert difference.found == f"{difference.expected}, but another one"
    assert "m2" not in differences_text([difference])


def test_what_no_user_explains_stays_a_change_of_the_file() -> None:
    before = TreeSnapshot({"/etc/passwd": FILE}, users={"alice": ALICE})
    after = TreeSnapshot({"/etc/passwd": replace(FILE, size=4)}, users={"alice": ALICE})
    assert [d.what for d in compare(before, after)] == [What.CONTENT]
    with_mode = replace(after, entries={"/etc/passwd": replace(FILE, size=4, mode=0o666)}, users={})
    assert [d.what for d in compare(before, with_mode)] == [What.MODE, What.USER]


def test_a_group_differs_by_number_and_members() -> None:
    (difference,) = compare(TreeSnapshot(groups={"g": Group("5")}), TreeSnapshot(groups={"g": Group("5", ("alice",))}))
    assert (difference.what, difference.expected, difference.found) == (
        What.GROUP, "gid 5, members: none", "gid 5, members: alice",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (("quiet",), ("quiet", "init=/bin/sh"), {"init=/bin/sh": ("", "given")}),
        (("quiet",), (), {"quiet": ("given", "")}),
        (("console=a", "console=b"), ("console=b", "console=a"), {}),
        (("a",), ("a", "a"), {"a": ("given", "given 2 times")}),
        (("usrhash=1",), ("usrhash=2",), {}),
        ((), ("ignition.config.url=http://x", "systemd.factory_reset=1", "orlop.x=1"), {}),
    ],
)
def test_of_kernel_arguments(old: tuple[str, ...], new: tuple[str, ...], named: dict[str, tuple[str, str]]) -> None:
    found = compare(TreeSnapshot(kernel_arguments=old), TreeSnapshot(kernel_arguments=new))
    assert {d.name: (d.expected, d.found) for d in found} == named
    assert all(d.what is What.KERNEL_ARGUMENT and d.path == "/proc/cmdline" for d in found)


def test_a_broken_seal_is_a_difference_and_a_cause() -> None:
    before = TreeSnapshot({"/etc": FOLDER, "/etc/x": FILE}, sealed=True)
    after = TreeSnapshot({"/etc": FOLDER}, changed={"/etc": 1_800_000_000.0})
    seal, gone = compare(before, after)
    assert (seal.path, seal.what) == ("/etc", What.MOUNT)
    assert gone.cause == "changed 2027-01-15 08:00:00 UTC; /etc is writable"
    assert compare(TreeSnapshot(sealed=False), TreeSnapshot(sealed=True)) == []


def test_origin_setting_and_hint_follow_from_the_owner() -> None:
    owners = {"/var/lib/app/conf": Owner(Origin.CONFIGURATION, "storage.files.3"), "/etc/x": Owner(Origin.FACTORY)}
    before = TreeSnapshot({"/var/lib/app/conf": FILE, "/etc/x": FILE}, owners=owners)
    etc, var = compare(before, TreeSnapshot())
    assert (etc.origin, var.origin) == (Origin.FACTORY, Origin.CONFIGURATION)
    assert var.cause == "it is set by storage.files.3"
    assert var.hint.startswith("the next boot writes it anew")
    assert etc.hint.startswith("a reboot makes it right")


@pytest.mark.parametrize(
    ("passwd", "shadow", "password"),
    [
        ("a:x:1:1::/:/bin/sh", "a:$6$abc:1::::::", "set"),
        ("a:x:1:1::/:/bin/sh", "a:!:1::::::", "locked"),
        ("a:x:1:1::/:/bin/sh", "a:*:1::::::", "locked"),
        ("a:x:1:1::/:/bin/sh", "a::1::::::", "none"),
        ("a::1:1::/:/bin/sh", "", "none"),
        ("a:x:1:1::/:/bin/sh", "", "locked"),
    ],
)
def test_passwords_by_what_they_let_in(passwd: str, shadow: str, password: str) -> None:
    assert parse_users(passwd + "\n#c\nbroken\n", shadow, str)["a"].password == password


def test_groups_with_members_in_any_order() -> None:
    assert parse_groups("g:x:5:b,a\n") == parse_groups("g:x:5:a,b\n") == {"g": Group("5", ("a", "b"))}


names = st.sampled_from(["a", "b/c", "systemd/system/x.target.wants/y.service", "systemd/system/z.service", "passwd"])
entries = st.one_of(
    st.builds(
        TreeEntry, st.just(DriftKind.FILE), st.integers(0, 0o7777), st.integers(0, 9), st.integers(0, 9),
        size=st.integers(0, 99), sha256=st.sampled_from(["ab" * 32, "cd" * 32]),
    ),
    st.builds(TreeEntry, st.just(DriftKind.DIR), st.integers(0, 0o7777), st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([link("/dev/null"), link("/x")]),
    st.builds(TreeEntry, st.just(DriftKind.OTHER), st.integers(0, 0o7777), st.integers(0, 9), st.integers(0, 9)),
)  # fmt: skip
owners = st.builds(Owner, st.sampled_from(Origin), st.sampled_from(["", "storage.files.1"]))
users = st.builds(
    User, *[st.sampled_from(["", "1", "x y"])] * 5, st.sampled_from(["set", "none"]), st.sampled_from("mn")
)
groups = st.builds(Group, st.sampled_from("123"), st.lists(st.sampled_from("ab"), unique=True).map(tuple))
paths = names.map(lambda name: f"/etc/{name}")
snapshots = st.builds(
    TreeSnapshot,
    entries=st.dictionaries(paths, entries),
    users=st.dictionaries(st.sampled_from("uvw"), users),
    groups=st.dictionaries(st.sampled_from("ghi"), groups),
    kernel_arguments=st.lists(st.sampled_from(["quiet", "ro", "a=b"])).map(tuple),
    sealed=st.booleans(),
    owners=st.dictionaries(paths, owners),
)


@given(snapshots)
def test_a_machine_does_not_differ_from_itself_and_its_text_is_it(snapshot: TreeSnapshot) -> None:
    again = parse_snapshot(snapshot_text(snapshot), "x")
    assert again == snapshot
    assert compare(snapshot, again) == []


@given(snapshots, paths, st.none() | entries)
def test_any_single_change_of_a_path_is_found_and_named(
    snapshot: TreeSnapshot, path: str, entry: TreeEntry | None
) -> None:
    entries = {p: e for p, e in snapshot.entries.items() if p != path} | ({path: entry} if entry else {})
    found = compare(snapshot, replace(snapshot, entries=entries))
    assert bool(found) == (entries != snapshot.entries)
    assert {d.path for d in found} <= {path}
    assert parse_differences(differences_text(found), "x") == found
    assert len(list(lines(found))) >= 2 * len(found)


@given(snapshots, st.sampled_from("uvwx"), st.none() | users)
def test_any_single_change_of_a_user_is_found_and_named(snapshot: TreeSnapshot, name: str, user: User | None) -> None:
    after = {n: u for n, u in snapshot.users.items() if n != name} | ({name: user} if user else {})
    found = compare(snapshot, replace(snapshot, users=after))
    assert [(d.what, d.name) for d in found] == ([(What.USER, name)] if after != snapshot.users else [])


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"schema": 1}', '{"schema": 2}', '{"schema": 1, "entries": {"x": []}}',
        '{"schema":1,"sealed":true,"kernel_arguments":[],"owners":{},"users":{},"groups":{},"entries":{"/x":["file",1]}}',
        '{"schema":1,"sealed":true,"kernel_arguments":[],"owners":{},"users":{},"groups":{},"entries":{"/x":["odd",1,1,1]}}',
        '{"schema":1,"sealed":true,"kernel_arguments":[],"owners":{},"users":{"u":[1]},"groups":{},"entries":{}}',
    ],
)  # fmt: skip
def test_a_text_that_is_no_snapshot_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match=r"^/run/e\.json "):
        parse_snapshot(text, "/run/e.json")
    with pytest.raises(BadInput):
        parse_differences(text, "x")


def test_lines_say_what_was_and_is_and_each_advice_once() -> None:
    found = [
        Difference("/etc/a", What.ADDED, "", "folder", hint="reboot"),
        Difference("/etc/b", What.MODE, "0644", "0600", origin=Origin.FACTORY, cause="changed", hint="reboot"),
    ]
    assert list(lines(found)) == [
        "+ added: /etc/a",
        "    there is     folder",
        "~ mode: /etc/b (factory)",
        "    should be    0644",
        "    but is       0600",
        "    cause        changed",
        "next (2): reboot",
    ]
