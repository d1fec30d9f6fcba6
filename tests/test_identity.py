"""Keys on disk."""

import stat
from pathlib import Path

import pytest

from homeserver.events import signing
from homeserver.events.identifiers import ServerName
from homeserver.identity import BadKeyFile, generate_key, read_identity, write_key

A = ServerName("a")
SEED = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"  # the key of the specification's test vectors


def test_a_new_key_is_written_and_read(tmp_path: Path) -> None:
    path, key = tmp_path / "signing.key", generate_key()
    write_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    identity = read_identity(A, path)
    assert (identity.key.id, identity.key.public) == (key.id, key.public)
    with pytest.raises(FileExistsError):
        write_key(path, generate_key())


def test_former_keys_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text(f"# keys\ned25519 old {SEED} 1700000000000\ned25519 new {SEED}\n\ned25519 other {SEED}\n")
    identity = read_identity(A, path)
    assert identity.key.id == "ed25519:new"
    assert [key.id for key in identity.further] == ["ed25519:other"]
    assert [(former.key.id, former.expired_ms) for former in identity.former] == [("ed25519:old", 1_700_000_000_000)]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "holds no key to sign with"),
        (f"ed25519 old {SEED} 17", "holds no key to sign with"),
        ("\nrsa a b", "line 2: expected `ed25519 NAME SEED`"),
        ("ed25519 a c2hvcnQ", "line 1: the seed is not 32 bytes of base64"),
        ("ed25519 a !!!", "line 1: the seed is not 32 bytes of base64"),
        (f"ed25519 a {SEED} soon", "line 1: expected the end of the key in milliseconds"),
    ],
)
def test_a_bad_key_file_is_explained_without_its_content(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "signing.key"
    path.write_text(text)
    with pytest.raises(BadKeyFile, match=problem) as caught:
        read_identity(A, path)
    assert SEED not in str(caught.value)
    with pytest.raises(BadKeyFile):
        read_identity(A, tmp_path / "none")


def test_what_is_mine(tmp_path: Path) -> None:
    write_key(tmp_path / "k", generate_key())
    identity = read_identity(ServerName("a:8448"), tmp_path / "k")
    assert identity.is_mine("@alice:a:8448") and not identity.is_mine("@alice:a") and not identity.is_mine("#x:b")


def test_what_is_signed_can_be_verified(tmp_path: Path) -> None:
    write_key(tmp_path / "k", generate_key())
    identity = read_identity(A, tmp_path / "k")
    signed = identity.sign_json({"one": 1})
    signing.verify_json(signed, A, identity.key.id, bytes(identity.key.secret.verify_key))
    assert identity.key.public not in repr(identity.key.secret)
