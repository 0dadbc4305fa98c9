"""What a Debian package's copyright file says, as an SPDX expression.

Source: Debian's machine-readable copyright format 1.0 for its short names and their grammar; SPDX 2.3 annex D for
expressions, and its list of licences as `license_expression` has it. A name that SPDX does not have, and an exception
that it has several of, become a LicenseRef with the text that the file gives; so does the whole of a file that is not
machine-readable, beside the licences that it names in words known here. Nothing is guessed from a name alone.

A package's expression is what its source declares of all its files, joined by AND: which of them went into which
program is said nowhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError
from license_expression import ExpressionError, ExpressionParseError, get_spdx_licensing

from orlop.model.contents.contents import LICENCE_REF, UNKNOWN

_FORMAT = re.compile(r"\A\s*Format(-Specification)?:.*", re.IGNORECASE)
_FORMAT_1 = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z]+(?:-[0-9.]*[0-9])?)")
_VERSIONED = re.compile(r"(AGPL|GPL|LGPL|GFDL|GFDL-NIV)-(\d(?:\.\d)?)(\+|-only|-or-later)?", re.IGNORECASE)
_WITH = re.compile(r"(.+?)[ -]with[ -](.+?)(?: exception)?", re.IGNORECASE)
# Debian's names for what SPDX calls otherwise, in small letters
_NAMES = {
    "expat": "MIT", "mit/x11": "MIT", "cc0": "CC0-1.0", "artistic": "Artistic-1.0-Perl", "apache-2": "Apache-2.0",
    "bsl-1": "BSL-1.0", "gpl": "GPL-1.0-or-later", "lgpl": "LGPL-2.0-or-later",
}  # fmt: skip
_EXCEPTIONS = {
    "bison-2.2": "Bison-exception-2.2", "libtool": "Libtool-exception", "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception", "texinfo": "Texinfo-exception",
}  # fmt: skip
# Words by which a text that is not machine-readable names a licence; white space is one blank, and case does not count.
_PHRASES = (
    (
        r"gnu general public license \(v3 or later\) with version 3\.1 of the gcc runtime library exception",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
    ),
    (r"gnu lesser general public license, version 2\.1 \(or, at your option, any later version\)", "LGPL-2.1-or-later"),
    (r"python software foundation license version 2", "PSF-2.0"),
    (r"cc0 1\.0 universal", "CC0-1.0"),
    (
        r"permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
        r"documentation files .{,60}to deal in the software without restriction",
        "MIT",
    ),
    (
        r"redistribution and use in source and binary forms, with or without modification, are permitted provided that "
        r"the following conditions are met: .{,500}neither the names? of",
        "BSD-3-Clause",
    ),
)


@dataclass(frozen=True)
class Licence:
    """`texts`: the text of each LicenseRef in the expression."""

    expression: str = UNKNOWN
    texts: Mapping[str, str] = field(default_factory=dict)


def of_copyright(text: str, source: str) -> Licence:
    """What the copyright file of a package says, whose source package is `source`."""
    if _FORMAT.match(text):
        stream = io.StringIO(_FORMAT.sub(_FORMAT_1, text, count=1))  # older names of it are common
        try:
            found = _of_paragraphs(Copyright(stream, strict=False), text, source)
        except (NotMachineReadableError, MachineReadableFormatError, ValueError):
            found = Licence()
        if found.expression != UNKNOWN:
            return found  # and else it only looked machine-readable
    ref = reference(source, "copyright")
    return joined([*phrases(text), ref], {ref: text})


def of_metadata(declared: str, own: Iterable[str], vendored: Iterable[str], name: str) -> Licence:
    """Of a package that declares an SPDX expression, or whose `own` licences' texts have to say it.

    `vendored`: texts of what others made and it has in it.
    """
    terms = [declared] if is_spdx(declared) else []
    kept: dict[str, str] = {}
    for text in vendored if terms else (*own, *vendored):
        if found := phrases(text):
            terms += found
        else:
            ref = reference(name, f"licence{len(kept) or ''}")
            terms, kept = [*terms, ref], {**kept, ref: text}
    return joined(terms, kept)


def _of_paragraphs(parsed: Any, text: str, source: str) -> Licence:
    declared = [paragraph.license for paragraph in parsed.all_files_paragraphs() if paragraph.license]
    given: dict[str, list[str]] = {}
    for licence in (*declared, *(paragraph.license for paragraph in parsed.all_license_paragraphs())):
        if licence and licence.text.strip():
            given.setdefault(licence.synopsis.lower(), []).append(licence.text)
    names = _Names(source, given, text)
    return joined((term for licence in declared for term in names.terms(licence.synopsis)), names.kept)


@dataclass
class _Names:
    """Debian's names of one package turned to SPDX's; `kept`: the texts of those that SPDX does not have.

    `given`: the texts that the file has, by their names in small letters; `whole`: the file itself.
    """

    source: str
    given: Mapping[str, list[str]]
    whole: str
    kept: dict[str, str] = field(default_factory=dict)

    def terms(self, synopsis: str) -> Iterator[str]:
        """What must hold together. `and` binds closer than `or`, and a comma less close than both."""
        for choice in _split(synopsis, r",\s*(?!or\s)(?:and\s+)?"):
            alternatives = [
                [self._name(word, synopsis) for word in _split(alternative, r"\s+and\s+")]
                for alternative in _split(choice, r",?\s+or\s+")
            ]
            if len(alternatives) == 1:
                yield from alternatives[0]
            else:
                yield " OR ".join(dict.fromkeys(_all(names) for names in alternatives))

    def _name(self, word: str, synopsis: str) -> str:
        if name := spdx_name(word):
            return name
        ref = reference(self.source, word)
        texts = self.given.get(word.lower()) or self.given.get(synopsis.lower()) or self._parts(word)
        self.kept[ref] = "\n\n".join(dict.fromkeys(texts)) or self.whole
        return ref

    def _parts(self, word: str) -> list[str]:
        """Of a licence with an exception, the texts of the two."""
        parts = re.split(r"\s+with\s+", word, flags=re.IGNORECASE)
        return [text for part in parts for text in self.given.get(part.lower(), ())]


def _split(text: str, at: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(at, text, flags=re.IGNORECASE) if part.strip()]


def _all(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"({' AND '.join(names)})"


def spdx_name(word: str) -> str:
    """What SPDX calls a licence by its Debian name; "" when it has no name for it."""
    if found := _VERSIONED.fullmatch(word):
        family, version, later = found.groups()
        number = version if "." in version else f"{version}.0"
        middle = "-no-invariants" if family.upper() == "GFDL-NIV" else ""
        ending = "only" if later in (None, "-only") else "or-later"
        return _listed(f"{family.upper().removesuffix('-NIV')}-{number}{middle}-{ending}")
    if found := _WITH.fullmatch(word):
        base, exception = spdx_name(found[1]), _EXCEPTIONS.get(found[2].lower()) or _listed(found[2], exception=True)
        return f"{base} WITH {exception}" if base and exception else ""
    return _listed(_NAMES.get(word.lower(), word))


_licensing = cache(get_spdx_licensing)  # a second's work


@cache
def _symbols() -> dict[tuple[str, bool], str]:
    """Every name on SPDX's list of licences, and of exceptions, by its small letters."""
    known = _licensing().known_symbols.items()
    names = [(name, symbol.is_exception) for name, symbol in known if not name.startswith("LicenseRef-")]
    return {(name.lower(), is_exception): name for name, is_exception in names}


def _listed(name: str, *, exception: bool = False) -> str:
    return _symbols().get((name.lower(), exception), "")


def is_spdx(expression: str) -> bool:
    """Whether an expression is valid, with every name on SPDX's list or a LicenseRef."""
    plain = LICENCE_REF.sub("MIT", expression)
    try:
        return bool(plain) and _licensing().parse(plain, validate=True, strict=True) is not None
    except (ExpressionError, ExpressionParseError):
        return False


def phrases(text: str) -> list[str]:
    """The licences that a text names in words known here."""
    folded = " ".join(text.replace("*", " ").lower().split())
    return [name for pattern, name in _PHRASES if re.search(pattern, folded)]


def reference(source: str, name: str) -> str:
    return f"LicenseRef-{re.sub('[^A-Za-z0-9.]+', '-', f'{source}-{name}').strip('-')}"


def joined(terms: Iterable[str], texts: Mapping[str, str]) -> Licence:
    """All of them, each once, in an order that depends on nothing else."""
    once = sorted(set(terms), key=lambda term: (term.startswith("LicenseRef-"), term.lower(), term))
    if not once:
        return Licence()
    wrapped = [f"({term})" if " OR " in term and len(once) > 1 else term for term in once]
    return Licence(" AND ".join(wrapped), texts)


def common(text: str) -> Iterator[str]:
    """The names below /usr/share/common-licenses that a text refers to."""
    return iter(dict.fromkeys(COMMON.findall(text)))
