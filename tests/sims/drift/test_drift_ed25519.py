"""Ed25519 against the test vectors of RFC 8032, section 7.1."""

from __future__ import annotations

import pytest

from twinleg_sims.drift.ed25519 import on_curve, public_key, signed, verifies

VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
            "655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
            "b00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize(("private", "public", "message", "signature"), VECTORS)
def test_the_vectors_hold(private: str, public: str, message: str, signature: str) -> None:
    key, words, wanted = bytes.fromhex(private), bytes.fromhex(message), bytes.fromhex(signature)
    assert public_key(key).hex() == public
    assert signed(key, words) == wanted
    assert verifies(bytes.fromhex(public), words, wanted)


def test_another_message_key_or_signature_does_not_verify() -> None:
    key = bytes(range(32))
    public, signature = public_key(key), signed(key, b"words")
    assert verifies(public, b"words", signature)
    assert not verifies(public, b"word", signature)
    assert not verifies(public_key(bytes(32)), b"words", signature)
    assert not verifies(public, b"words", signature[:-1] + b"\xff")
    assert not verifies(b"\xff" * 32, b"words", signature)
    assert on_curve(public)
    assert not on_curve(b"\xff" * 32)
