"""Which archive a host's apt configuration names. `mirror.test` and its like stand for any host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.sdk.sources import KEYRING, Sources, from_host, parse, targets_of

UNFETCHED = "$(ORIGIN)"  # what apt prints before its first update


def rows(*lines: str) -> list[str]:
    return list(lines)


DEBIAN = rows(
    "http://mirror.test/debian/|bookworm|main|Debian",
    "http://mirror.test/debian/|bookworm-updates|main|Debian",
    "http://mirror.test/debian-security/|bookworm-security|main|Debian",
)

FOUND = {
    "a stock host": (DEBIAN, ("http://mirror.test/debian", "http://mirror.test/debian-security")),
    "before the first apt-get update": (
        [line.replace("|Debian", f"|{UNFETCHED}") for line in DEBIAN],
        ("http://mirror.test/debian", "http://mirror.test/debian-security"),
    ),
    "security first": (DEBIAN[::-1], ("http://mirror.test/debian", "http://mirror.test/debian-security")),
    "other archives before Debian's": (
        rows(
            "https://vendor.test/apt/|nodistro|main|Vendor",
            "https://vendor.test/linux/debian/|bookworm|stable|Vendor",
            "https://vendor.test/debian/12/prod/|bookworm|main|Vendor",
            *DEBIAN,
        ),
        ("http://mirror.test/debian", "http://mirror.test/debian-security"),
    ),
    "a private mirror with names of its own": (
        rows(
            "https://repo.test/artifactory/os-remote/|trixie|main|Debian",
            "https://repo.test/artifactory/os-sec-remote/|trixie-security|main|Debian",
        ),
        ("https://repo.test/artifactory/os-remote", "https://repo.test/artifactory/os-sec-remote"),
    ),
    "a private mirror, unfetched, that looks like Debian": (
        rows(
            f"https://repo.test/debian-remote/|trixie|main|{UNFETCHED}",
            f"https://repo.test/debian-sec-remote/|trixie-security|main|{UNFETCHED}",
        ),
        ("https://repo.test/debian-remote", "https://repo.test/debian-sec-remote"),
    ),
    "the old form of security suites": (
        rows(
            "http://mirror.test/debian/|stable|main|Debian", "http://mirror.test/security/|stable/security|main|Debian"
        ),
        ("http://mirror.test/debian", "http://mirror.test/security"),
    ),
    "a list of mirrors": (
        rows(
            f"mirror+https://mirror.test/debian.list/|trixie|main|{UNFETCHED}",
            f"mirror+https://mirror.test/debian-security.list/|trixie-security|main|{UNFETCHED}",
        ),
        ("mirror+https://mirror.test/debian.list", "mirror+https://mirror.test/debian-security.list"),
    ),
    "a disc is passed over": (
        rows("cdrom:[Debian GNU_Linux 13]/|trixie|main|Debian", *DEBIAN),
        ("http://mirror.test/debian", "http://mirror.test/debian-security"),
    ),
}

NOT_FOUND = {
    "nothing": [],
    "no security archive": DEBIAN[:2],
    "only security": DEBIAN[2:],
    "Ubuntu": rows(
        "http://mirror.test/ubuntu/|noble|main|Ubuntu", "http://mirror.test/ubuntu/|noble-security|main|Ubuntu"
    ),
    "another maker's archive with Debian's suite names": [line.replace("|Debian", "|Raspbian") for line in DEBIAN],
    "only contrib": [line.replace("|main|", "|contrib|") for line in DEBIAN],
    "only files": [line.replace("http://", "file:///") for line in DEBIAN],
    "lines of another form": ["", "x", "|||", "http://mirror.test/debian/"],
}


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    targets, (main, security) = FOUND[case]
    assert parse(targets, []) == Sources(main, security)


@pytest.mark.parametrize("case", NOT_FOUND)
def test_not_found(case: str) -> None:
    assert parse(NOT_FOUND[case], []) is None


def test_an_archive_whose_index_was_never_fetched_is_found_by_what_apt_would_fetch() -> None:
    would_fetch = rows(
        "'http://mirror.test/debian/dists/bookworm/InRelease' mirror.test_debian_dists_bookworm_InRelease 0 ",
        "'http://mirror.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror.test_Packages 0 ",
        "'http://mirror.test/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz' sec_Packages 0 ",
        "'http://mirror.test/debian-security/dists/stable/updates/main/binary-all/Packages' old_Packages 0 ",
        "nothing of the kind",
    )
    assert targets_of(would_fetch) == [
        f"http://mirror.test/debian|bookworm|main|{UNFETCHED}",
        f"http://mirror.test/debian-security|bookworm-security|main|{UNFETCHED}",
        f"http://mirror.test/debian-security|stable/updates|main|{UNFETCHED}",
    ]
    found = parse([DEBIAN[0], *targets_of(would_fetch)], [])
    assert found == Sources("http://mirror.test/debian", "http://mirror.test/debian-security")


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_survived(lines: list[str]) -> None:
    found = parse(lines, lines)
    assert found is None or "://" in found.main


def test_settings_for_reaching_the_archive_are_kept_and_no_others() -> None:
    dump = [
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Acquire::https::CaInfo "/etc/ssl/private-ca.pem";',
        'Acquire::https "";',
        'Acquire::Retries "3";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::ForceIPv4 "true";',
        'Acquire::Languages "de";',
        'APT::Install-Recommends "true";',
        'DPkg::Post-Invoke:: "rm -rf /";',
    ]
    found = parse(DEBIAN, dump)
    assert found is not None
    assert found.settings == (
        ("Acquire::http::Proxy", "http://proxy.test:3128"),
        ("Acquire::https::CaInfo", "/etc/ssl/private-ca.pem"),
        ("Acquire::Retries", "3"),
        ("Acquire::Check-Valid-Until", "false"),
        ("Acquire::ForceIPv4", "true"),
    )
    assert found.apt_conf().splitlines()[0] == 'Acquire::http::Proxy "http://proxy.test:3128";'


def test_both_forms_name_the_same_archives() -> None:
    sources = Sources("http://mirror.test/debian", "http://mirror.test/debian-security")
    assert sources.lines() == [
        f"deb [signed-by={KEYRING}] http://mirror.test/debian trixie main",
        f"deb [signed-by={KEYRING}] http://mirror.test/debian trixie-updates main",
        f"deb [signed-by={KEYRING}] http://mirror.test/debian-security trixie-security main",
    ]
    assert sources.deb822().count("Types: deb\n") == 2
    assert "Suites: trixie trixie-updates\n" in sources.deb822()
    assert "Suites: trixie-security\n" in sources.deb822()


def test_this_host_is_read_without_an_error() -> None:
    found = from_host()
    assert found is None or found.main.partition("://")[2]
