from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import SSlibKey

from orlop.errors import BadInput, CommandFailed, Missing, OrlopError
from orlop.publish.keys import keys
from orlop.publish.keys.keys import Keyring

WORDS = "correct horse"
SIGN = """
import sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
print(key.sign(sys.stdin.buffer.read()).hex().upper() if sys.argv[1:] == [] else sys.argv[1])
"""
SEVEN = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"


def test_a_key_signs_after_it_was_written_and_read(tmp_path: Path) -> None:
    made = keys.generate("stable", WORDS)
    path = keys.write(tmp_path, made)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.read(path) == made
    signature = keys.unlock(keys.read(path), WORDS).sign(b"payload")
    made.key.verify_signature(signature, b"payload")


def test_its_id_is_the_one_others_give_it() -> None:
    made = keys.generate("stable", WORDS)
    assert made.key == SSlibKey.from_dict(made.keyid, made.key.to_dict())
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(made.public))
    assert SSlibKey.from_crypto(public).keyid == made.keyid


def test_the_private_half_is_nowhere_in_the_file() -> None:
    made = keys.generate("stable", WORDS)
    private = keys.unlock(made, WORDS)._private.private_bytes_raw()  # type: ignore[attr-defined]
    assert private not in keys.encode(made)
    assert private.hex().encode() not in keys.encode(made)
    assert "box" not in repr(made)
    public = keys.encode(made.public_half)
    assert set(json.loads(public)) == {"schema", "name", "public"}


@pytest.mark.parametrize("words", ["", "short"])
def test_a_passphrase_that_is_none(words: str) -> None:
    with pytest.raises(BadInput, match="the passphrase has"):
        keys.generate("stable", words)


def test_another_passphrase_does_not_open_it() -> None:
    with pytest.raises(BadInput, match="the passphrase does not open the key stable"):
        keys.unlock(keys.generate("stable", WORDS), "wrong horse")


def test_a_private_half_under_another_public_one_is_refused() -> None:
    one, two = keys.generate("a", WORDS), keys.generate("b", WORDS)
    mixed = keys.KeyFile("a", two.public, one.box, one.salt, one.nonce)
    with pytest.raises(BadInput, match="does not open"):
        keys.unlock(mixed, WORDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "orlop.key/2"}, "its schema is"),
        ({"public": "zz"}, "public must be a SHA-256"),
        ({"extra": 1}, "extra is unknown here"),
        ({"private": {"kdf": "scrypt", "n": 1}}, "private"),
        ({"command": []}, "command must be a list of words"),
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, Any], message: str) -> None:
    about = json.loads(keys.encode(keys.generate("stable", WORDS))) | change
    with pytest.raises(BadInput, match=message):
        keys.decode(json.dumps(about).encode(), "x.key")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        keys.read(tmp_path / "none.key")


def test_a_keyring_asks_once_and_only_when_it_signs(tmp_path: Path) -> None:
    asked: list[str] = []
    one, two = keys.generate("a", WORDS), keys.generate("b", WORDS)
    for key in (one, two):
        keys.write(tmp_path, key)
    keys.write(tmp_path / "public", one.public_half)

    def ask(name: str) -> list[str]:
        asked.append(name)
        return [WORDS]

    ring = Keyring([tmp_path, tmp_path / "public"], ask)
    assert ring.able([one.keyid, "none", two.keyid]) == [one, two]
    assert not asked
    for key in (one, two):
        key.key.verify_signature(ring.signer(key).sign(b"x"), b"x")
    assert asked == ["a"]


def test_keys_that_are_used_together_may_have_passphrases_of_their_own() -> None:
    one, two, three = keys.generate("a", WORDS), keys.generate("b", "another horse"), keys.generate("c", WORDS)
    said = {"a": ["wrong horse", WORDS], "b": ["another horse"]}
    ring = Keyring([], said.pop)
    for key in (one, two, three, two):
        key.key.verify_signature(ring.signer(key).sign(b"x"), b"x")
    assert not said
    other = keys.generate("d", "a third horse")
    said["d"] = ["wrong horse"]
    with pytest.raises(BadInput, match="does not open the key d"):
        ring.signer(other)


def test_a_key_is_kept_under_another_passphrase() -> None:
    made = keys.generate("stable", WORDS)
    other = keys.change_passphrase(made, WORDS, "another horse")
    assert (other.name, other.keyid) == (made.name, made.keyid)
    made.key.verify_signature(keys.unlock(other, "another horse").sign(b"x"), b"x")
    with pytest.raises(BadInput, match="does not open"):
        keys.unlock(other, WORDS)
    with pytest.raises(BadInput, match="does not open"):
        keys.change_passphrase(made, "wrong horse", "another horse")
    with pytest.raises(BadInput, match="the passphrase has 5 characters"):
        keys.change_passphrase(made, WORDS, "short")


def test_a_folder_keeps_what_can_sign(tmp_path: Path) -> None:
    """A public half, or another copy of a key, does not take its place; the key takes that of its public half."""
    made = keys.generate("root-1", WORDS)
    path = keys.write(tmp_path, made.public_half)
    for key in (made, made.public_half, keys.change_passphrase(made, WORDS, "another horse")):
        assert keys.write(tmp_path, key) == path
        assert keys.read(path) == made
    path.write_bytes(keys.encode(keys.generate("root-1", WORDS)))
    with pytest.raises(BadInput, match="is there already"):
        keys.write(tmp_path, made)


def test_a_public_half_does_not_hide_a_key() -> None:
    made = keys.generate("a", WORDS)
    ring = Keyring([], lambda _: [WORDS])
    ring.add(made)
    ring.add(made.public_half)
    assert ring.able([made.keyid]) == [made]


def test_a_command_signs(tmp_path: Path) -> None:
    key = keys.by_command("hsm", SEVEN, [sys.executable, "-c", SIGN])
    path = keys.write(tmp_path, key)
    assert keys.read(path) == key
    signature = Keyring([tmp_path], lambda _: pytest.fail("no passphrase is needed")).signer(key).sign(b"payload")
    key.key.verify_signature(signature, b"payload")


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        ([sys.executable, "-c", SIGN, "00" * 64], OrlopError, "is not a valid signature of that key"),
        ([sys.executable, "-c", SIGN, "hello"], OrlopError, "is not a valid signature of that key"),
        ([sys.executable, "-c", "raise SystemExit('no token')"], CommandFailed, "ended with 1"),
        (["/no/such/program"], Missing, "cannot be used"),
    ],
)
def test_a_command_that_does_not_sign(command: list[str], kind: type[OrlopError], message: str) -> None:
    with pytest.raises(kind, match=message) as e:
        keys.CommandSigner(keys.by_command("hsm", SEVEN, command)).sign(b"payload")
    assert e.value.hint == "nothing was signed"


def test_what_is_no_public_key_is_refused() -> None:
    for public, command in (("12", ["x"]), ("q" * 64, ["x"]), (SEVEN, [])):
        with pytest.raises(BadInput):
            keys.by_command("hsm", public, command)
