"""Which files of a tree run text that they are given: shells, awks, Pythons and their like, by what is in them.

By content, and not only by name: a Perl under the name `helper`, or a shell in a library's folder, serves an intruder
as well. A kind is told by words that an interpreter of it cannot do without, such as the names of a shell's commands
or of awk's variables. Names are looked at beside that, for scripts and what has none of the words.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from orlop.image.elf import is_elf
from orlop.image.prune import walk

# programs that run text they are given, by the names they are installed under
NAMES = re.compile(
    r"(sh|dash|bash|rbash|ksh\w*|mksh|zsh|fish|csh|tcsh|busybox|perl[\d.]*|python[\d.]*|ruby[\d.]*|lua(jit)?[\d.]*|node(js)?|"
    r"php[\d.]*|tclsh[\d.]*|expect|guile[\d.]*|gawk|mawk|awk|nawk|original-awk|bc|dc|gdb|jq|java|mono|deno|bun)"
)
# All words of a line must be there; a word ends with a zero byte, as texts in a compiled program do.
_WORDS: dict[str, tuple[bytes, ...]] = {
    "shell": (b"export\0", b"getopts\0", b"readonly\0", b"umask\0", b"trap\0"),
    "csh": (b"setenv\0", b"unsetenv\0", b"rehash\0", b"onintr\0"),
    "awk": (b"RSTART\0", b"RLENGTH\0", b"SUBSEP\0", b"FILENAME\0"),
    "bc": (b"negative ibase, set to 2\0",),
    "perl": (b"PERL5LIB\0",),
    "python": (b"PyEval_EvalCode\0",),
    "python, in another program": (b"PyRun_SimpleStringFlags\0",),
    "ruby": (b"RUBYLIB\0",),
    "lua": (b"lua_load\0",),
    "tcl": (b"Tcl_CreateInterp\0",),
    "guile": (b"scm_boot_guile\0",),
    "php": (b"zend_execute_scripts\0",),
    "javascript": (b"napi_create_function\0",),
    "java": (b"JNI_CreateJavaVM\0",),
    "mono": (b"mono_jit_init\0",),
    "jq": (b"jq_compile_args\0",),
}


def kind_of(content: bytes) -> str:
    """Which kind of interpreter an ELF file is, or uses as a library; "" when it is none."""
    return next((kind for kind, words in _WORDS.items() if all(word in content for word in words)), "")


def interpreters(tree: Path, private: Path | None = None) -> list[str]:
    """Interpreters the host can find; several names of one program count once, under the shortest.

    What is below `private` is not among them: the Python of the node's programs has a figure of its own.
    """
    found: dict[Path, str] = {}
    for path, mode in _files(tree, private):
        by_name = mode & 0o111 and NAMES.fullmatch(path.name)
        if by_name or (not path.is_symlink() and path.suffix != ".ko" and is_elf(path) and kind_of(path.read_bytes())):
            real = path.resolve()
            if real not in found or (by_name and len(path.name) < len(found[real])):
                found[real] = path.name
    return sorted(found.values())


def _files(tree: Path, private: Path | None) -> Iterator[tuple[Path, int]]:
    """Every regular file below /usr and every link to one, with the file's mode."""
    for path in walk(tree / "usr"):
        if private is not None and path.is_relative_to(private):
            continue
        if path.exists() and stat.S_ISREG(mode := path.stat().st_mode):
            yield path, mode
