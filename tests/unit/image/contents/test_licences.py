"""What a copyright file says becomes an SPDX expression, and what SPDX has no name for keeps its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.image.contents import licences
from orlop.model.contents.contents import LICENCE_REF

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
FILES = "Files: {}\nCopyright: someone\nLicense: {}\n\n"


def copyright_of(*synopses: str, texts: str = "") -> str:
    return HEAD + "".join(FILES.format(f"f{n}", synopsis) for n, synopsis in enumerate(synopses)) + texts


NAMES = [
    ("Expat", "MIT"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-2.0+", "GPL-2.0-or-later"),
    ("LGPL-2.1-or-later", "LGPL-2.1-or-later"),
    ("GPL", "GPL-1.0-or-later"),
    ("LGPL-2.1", "LGPL-2.1-only"),
    ("AGPL-3+", "AGPL-3.0-or-later"),
    ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("zlib", "Zlib"),
    ("CC0", "CC0-1.0"),
    ("Artistic or GPL-1+", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
    ("GPL-3.0-or-later-WITH-Autoconf-exception-macro", "GPL-3.0-or-later WITH Autoconf-exception-macro"),
    ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
    ("GPL-2+ or LGPL-3+ and ISC", "GPL-2.0-or-later OR (LGPL-3.0-or-later AND ISC)"),
    ("GPL-2+ or ISC, and Expat", "(GPL-2.0-or-later OR ISC) AND MIT"),
    ("ISC, Expat and Zlib", "ISC AND MIT AND Zlib"),
    # what SPDX has no name for: a licence, an exception (it has a licence of that name), a version
    ("public-domain", "LicenseRef-src-public-domain"),
    ("GPL-2+ with OpenSSL exception", "LicenseRef-src-GPL-2-with-OpenSSL-exception"),
    ("GPL-7+", "LicenseRef-src-GPL-7"),
]


@pytest.mark.parametrize(("synopsis", "expression"), NAMES)
def test_names(synopsis: str, expression: str) -> None:
    found = licences.of_copyright(copyright_of(synopsis), "src")
    assert found.expression == expression
    assert licences.is_spdx(found.expression)


def test_all_files_count_each_licence_once_in_one_order() -> None:
    text = copyright_of("Zlib", "public-domain", "Expat", "Zlib", "GPL-2 or Expat")
    assert licences.of_copyright(text, "src").expression == (
        "(GPL-2.0-only OR MIT) AND MIT AND Zlib AND LicenseRef-src-public-domain"
    )


def test_texts_are_those_that_the_file_gives() -> None:
    texts = "License: custom\n All is allowed.\n .\n Even this.\n\nLicense: GPL-2+\n The GNU one.\n\n"
    texts += "License: OpenSSL\n With OpenSSL too.\n"
    found = licences.of_copyright(copyright_of("custom", "GPL-2+ with OpenSSL", "unsaid", texts=texts), "src")
    assert found.texts["LicenseRef-src-custom"] == "All is allowed.\n\nEven this."
    assert found.texts["LicenseRef-src-GPL-2-with-OpenSSL"] == "The GNU one.\n\nWith OpenSSL too."
    assert found.texts["LicenseRef-src-unsaid"].startswith("Format:"), "nothing else says it: the whole file"


WORDS = st.sampled_from([name for name, _ in NAMES if " " not in name] + ["a~b", "MIT/X11", "x_y", "Ünïcode"])


@given(
    st.recursive(WORDS, lambda s: st.builds(" ".join, st.tuples(s, st.sampled_from(["or", "and"]), s)), max_leaves=6)
)
def test_every_synopsis_becomes_a_valid_expression_whose_references_have_texts(synopsis: str) -> None:
    found = licences.of_copyright(copyright_of(synopsis), "src+1~2")
    assert licences.is_spdx(found.expression)
    assert set(LICENCE_REF.findall(found.expression)) == set(found.texts)


FREE = [
    ("licensed under the PYTHON SOFTWARE\n  FOUNDATION LICENSE VERSION 2", "PSF-2.0 AND LicenseRef-src-copyright"),
    (
        " * Permission is hereby granted, free of charge, to any person obtaining a copy of\n * this software and "
        "associated documentation files (the Software), to deal in the Software without restriction",
        "MIT AND LicenseRef-src-copyright",
    ),
    ("nobody knows", "LicenseRef-src-copyright"),
    ("Format: this only looks machine-readable", "LicenseRef-src-copyright"),
    ("", "LicenseRef-src-copyright"),
]


@pytest.mark.parametrize(("text", "expression"), FREE)
def test_a_file_in_no_format_is_kept_whole_beside_what_it_names(text: str, expression: str) -> None:
    found = licences.of_copyright(text, "src")
    assert found.expression == expression
    assert found.texts == {"LicenseRef-src-copyright": text}


def test_a_package_of_pypi() -> None:
    mit, cc0 = FREE[1][0], "Creative Commons Legal Code\n\nCC0 1.0 Universal"
    of = licences.of_metadata
    assert of("Apache-2.0 OR MIT", [mit], [], "p").expression == "Apache-2.0 OR MIT"
    assert of("MIT", [mit], [cc0], "p").expression == "CC0-1.0 AND MIT"
    assert of("", [mit], [], "p").expression == "MIT"
    unknown = of("As you like", ["text"], ["other"], "p")
    assert unknown.expression == "LicenseRef-p-licence AND LicenseRef-p-licence1"
    assert set(unknown.texts.values()) == {"text", "other"}
    assert of("", [], [], "p").expression == "NOASSERTION"


def test_the_common_texts_that_are_referred_to() -> None:
    text = "see `/usr/share/common-licenses/GPL-2', /usr/share/common-licenses/LGPL.\n/usr/share/common-licenses/GPL-2."
    assert list(licences.common(text)) == ["GPL-2", "LGPL"]
