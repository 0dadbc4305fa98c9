"""The keys that sign a repository: one file a key, in a folder that is never served.

A file holds the public half in the clear and the private half either encrypted by a passphrase (scrypt and
ChaCha20-Poly1305) or elsewhere: then it names a command that signs, with an HSM or a token or over a network. A public
file, which is what a root ceremony exchanges, is the same without a private half.

Lifetime: private halves are decrypted when something is signed, and kept for that one command. Invariant: a signature
that a command gives is verified before it is used; which key signs for which role is said by the repository alone.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer, SSlibKey

from orlop.errors import BadInput, CommandFailed, Missing, OrlopError
from orlop.files import write_atomic
from orlop.model.words.strict import Fields, Wrong, parse_json

SCHEMA = "orlop.key/1"
SUFFIX = ".key"
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
MIN_PASSPHRASE = 8
COMMAND_SECONDS = 120
Passphrases = Callable[[str], Iterable[str]]  # those to try, one after another, for the key of that name


@dataclass(frozen=True)
class KeyFile:
    """`box` is the encrypted private half, `command` what signs instead; both empty in a public file."""

    name: str
    public: str
    box: bytes = field(default=b"", repr=False)
    salt: bytes = b""
    nonce: bytes = b""
    command: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        keyval = {"public": self.public}
        content = {"keytype": "ed25519", "scheme": "ed25519", "keyval": keyval}
        keyid = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        return SSlibKey(keyid, "ed25519", "ed25519", keyval)

    @property
    def keyid(self) -> str:
        return str(self.key.keyid)

    @property
    def signs(self) -> bool:
        return bool(self.box or self.command)

    @property
    def public_half(self) -> KeyFile:
        return KeyFile(self.name, self.public)


def new_salt() -> bytes:
    """For keys that are made together with one passphrase: stretching it takes a while, and once is enough."""
    return secrets.token_bytes(16)


def generate(name: str, passphrase: str, salt: bytes = b"") -> KeyFile:
    """A new Ed25519 key. Raises BadInput when the passphrase is too short."""
    return _sealed(name, Ed25519PrivateKey.generate(), passphrase, salt)


def change_passphrase(key: KeyFile, old: str, new: str, salt: bytes = b"") -> KeyFile:
    """The same key under another passphrase. Raises BadInput when the old one is not its, or the new one too short."""
    return _sealed(key.name, _private(key, old), new, salt)


def _sealed(name: str, private: Ed25519PrivateKey, passphrase: str, salt: bytes) -> KeyFile:
    if len(passphrase) < MIN_PASSPHRASE:
        raise BadInput(f"the passphrase has {len(passphrase)} characters", hint=f"take {MIN_PASSPHRASE} or more")
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    salt, nonce = salt or new_salt(), secrets.token_bytes(12)
    box = ChaCha20Poly1305(_stretch(passphrase, salt)).encrypt(nonce, private.private_bytes_raw(), public.encode())
    return KeyFile(name, public, box, salt, nonce)


def by_command(name: str, public: str, command: Sequence[str]) -> KeyFile:
    """A key whose private half is elsewhere. `public` is 32 bytes in hexadecimal. Raises BadInput."""
    try:
        good = len(bytes.fromhex(public)) == 32
    except ValueError:
        good = False
    if not good or not command:
        raise BadInput(
            f"{public[:80]!r} is not a valid Ed25519 public key" if command else "the command that signs is missing",
            hint="give 64 hexadecimal digits, and the program with its arguments",
        )
    return KeyFile(name, public.lower(), command=tuple(command))


@functools.lru_cache(maxsize=16)
def _stretch(passphrase: str, salt: bytes) -> bytes:
    n, r, p = SCRYPT["n"], SCRYPT["r"], SCRYPT["p"]
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)


def encode(key: KeyFile) -> bytes:
    about: dict[str, object] = {"schema": SCHEMA, "name": key.name, "public": key.public}
    if key.box:
        about["private"] = {
            "kdf": "scrypt", **SCRYPT, "cipher": "chacha20-poly1305",
            "salt": key.salt.hex(), "nonce": key.nonce.hex(), "box": base64.b64encode(key.box).decode(),
        }  # fmt: skip
    elif key.command:
        about["command"] = list(key.command)
    return json.dumps(about, indent=1).encode() + b"\n"


def decode(raw: bytes, where: str) -> KeyFile:
    """Raises BadInput for what `encode` does not write."""
    try:
        top = Fields.of("", parse_json(raw, 64 << 10))
        if (schema := top.text("schema", 40)) != SCHEMA:
            raise Wrong(f"its schema is {schema!r}, this orlop reads {SCHEMA!r}")
        top.only("schema", "name", "public", "private", "command")
        bare = KeyFile(top.text("name", 60), top.sha256("public"))
        if "command" in top.values:
            command = top.value("command", list)
            if not command or not all(isinstance(word, str) for word in command):
                raise Wrong("command must be a list of words")
            return KeyFile(bare.name, bare.public, command=tuple(command))
        if "private" not in top.values:
            return bare
        private = top.fields("private")
        private.only("kdf", *SCRYPT, "cipher", "salt", "nonce", "box")
        for name, value in {"kdf": "scrypt", "cipher": "chacha20-poly1305", **SCRYPT}.items():
            if private.values.get(name) != value:
                raise Wrong(f"{private.at(name)} is not {value}")
        salt, nonce = (bytes.fromhex(private.text(name, 64)) for name in ("salt", "nonce"))
        return KeyFile(bare.name, bare.public, base64.b64decode(private.text("box", 200), validate=True), salt, nonce)
    except Wrong as e:
        raise BadInput(f"{where} is not a valid key: {e.message}", hint="`orlop release key new` makes one") from None
    except ValueError:
        raise BadInput(
            f"{where} is not a valid key: its private half is damaged", hint="take the copy you kept"
        ) from None


def read(path: Path) -> KeyFile:
    """Raises Missing or BadInput."""
    try:
        return decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise Missing(f"there is no key {path}", hint="`orlop release key new NAME` makes one") from None
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}") from None


def write(folder: Path, key: KeyFile) -> Path:
    """Keep the key in the folder, for its owner's eyes alone; a file of it that can sign stays as it is.

    Raises BadInput rather than replace another key.
    """
    path = folder / f"{key.name}-{key.keyid[:8]}{SUFFIX}"
    if path.exists():
        there = read(path)
        if there.keyid != key.keyid:
            raise BadInput(f"{path} is there already", hint="name another folder, or move it away")
        if there.signs:
            return path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path, encode(key), mode=0o600 if key.signs else 0o644)
    return path


class Keyring:
    """The keys in some folders, found by id. `passphrases` is asked when none that was said before opens a key."""

    def __init__(self, folders: Sequence[Path], passphrases: Passphrases) -> None:
        self.keys: dict[str, KeyFile] = {}
        self._ask = passphrases
        self._said: list[str] = []
        for path in [path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))]:
            self.add(read(path))

    def add(self, key: KeyFile, passphrase: str = "") -> None:
        """A public half does not take the place of a key that signs."""
        if key.signs or key.keyid not in self.keys:
            self.keys[key.keyid] = key
        if passphrase:
            self._said.append(passphrase)

    def able(self, keyids: Sequence[str]) -> list[KeyFile]:
        """Those of the keys that can sign here, in the order of the ids."""
        return [self.keys[i] for i in keyids if i in self.keys and self.keys[i].signs]

    @property
    def names(self) -> dict[str, str]:
        """What the keys here are called, by their ids."""
        return {keyid: key.name for keyid, key in self.keys.items()}

    def signer(self, key: KeyFile) -> Signer:
        return CommandSigner(key) if key.command else unlock(key, self.passphrase(key))

    def passphrase(self, key: KeyFile) -> str:
        """The one that opens the key. Raises BadInput when none does."""
        for words in self._tries(key.name):
            with contextlib.suppress(BadInput):
                unlock(key, words)
                self._said = list(dict.fromkeys([*self._said, words]))
                return words
        raise _shut(key)

    def _tries(self, name: str) -> Iterator[str]:
        yield from self._said
        yield from self._ask(name)


def unlock(key: KeyFile, passphrase: str) -> Signer:
    """Raises BadInput when the passphrase is not the key's."""
    return _Unlocked(key, _private(key, passphrase))


def _private(key: KeyFile, passphrase: str) -> Ed25519PrivateKey:
    try:
        private = ChaCha20Poly1305(_stretch(passphrase, key.salt)).decrypt(key.nonce, key.box, key.public.encode())
    except (InvalidTag, ValueError):
        raise _shut(key) from None
    return Ed25519PrivateKey.from_private_bytes(private)


def _shut(key: KeyFile) -> BadInput:
    return BadInput(
        f"the passphrase does not open the key {key.name} ({key.keyid[:8]})",
        hint="each key has the passphrase it was made with; nothing was signed",
    )


class _KeySigner(Signer):
    """Signs with a key of a key file."""

    def __init__(self, key: KeyFile) -> None:
        self._key = key

    @property
    def public_key(self) -> Key:
        return self._key.key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None) -> Signer:
        raise NotImplementedError  # keys come from key files


class _Unlocked(_KeySigner):
    def __init__(self, key: KeyFile, private: Ed25519PrivateKey) -> None:
        super().__init__(key)
        self._private = private

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._key.keyid, self._private.sign(payload).hex())


class CommandSigner(_KeySigner):
    """Signs with a program: the payload on its standard input, the signature in hexadecimal on its output.

    ORLOP_KEYID and ORLOP_KEY_NAME in its environment say which key is meant.
    """

    def sign(self, payload: bytes) -> Signature:
        key = self._key
        env = {**os.environ, "ORLOP_KEYID": key.keyid, "ORLOP_KEY_NAME": key.name}
        what = f"signing with the key {key.name}"
        try:
            done = subprocess.run(
                key.command, input=payload, capture_output=True, env=env, check=False, timeout=COMMAND_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Missing(f"{what}: {key.command[0]!r} cannot be used ({e})", hint="nothing was signed") from None
        if done.returncode != 0:
            raise CommandFailed(
                f"{what} failed: {key.command[0]} ended with {done.returncode}",
                code=done.returncode,
                tail=done.stderr.decode(errors="replace")[-2000:].strip(),
                hint="nothing was signed",
            )
        signature = Signature(key.keyid, done.stdout.decode(errors="replace").strip().lower())
        try:
            key.key.verify_signature(signature, payload)
        except (UnverifiedSignatureError, ValueError):
            raise OrlopError(
                f"{what}: what {key.command[0]} printed is not a valid signature of that key", hint="nothing was signed"
            ) from None
        return signature
