"""What opens an account is sent as it is, and shown nowhere."""

from __future__ import annotations

from twinleg.core.venue import Credential, Request


def test_a_credential_shows_in_no_repr() -> None:
    key = Credential("s3cret")
    request = Request(venue="one", method="GET", url="https://x", headers={"Authorization": key})
    assert "s3cret" not in repr(request)
    assert request.headers["Authorization"] == "s3cret"
    assert key.encode() == b"s3cret"
