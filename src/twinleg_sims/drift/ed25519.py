"""Ed25519 signatures (RFC 8032) in plain integers: some milliseconds each, which a simulator can spare."""

from __future__ import annotations

from hashlib import sha512

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, FIELD - 2, FIELD) % FIELD
_ROOT = pow(2, (FIELD - 1) // 4, FIELD)
_SIGN_BIT = 2**255

Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z and X * Y / Z."""


def public_key(private: bytes) -> bytes:
    """The 32 byte public key of a 32 byte private one."""
    return _pack(_times(_clamped(private)[0], BASE))


def signed(private: bytes, message: bytes) -> bytes:
    """The 64 byte signature of a message."""
    scalar, prefix = _clamped(private)
    public = _pack(_times(scalar, BASE))
    nonce = _digest(prefix, message)
    commitment = _pack(_times(nonce, BASE))
    response = (nonce + _digest(commitment, public, message) * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's for this message."""
    point, commitment = _unpack(public), _unpack(signature[:32])
    response = int.from_bytes(signature[32:], "little")
    if point is None or commitment is None or response >= ORDER:
        return False
    challenge = _digest(signature[:32], public, message)
    return _same(_times(response, BASE), _sum(commitment, _times(challenge, point)))


def on_curve(raw: bytes) -> bool:
    """Whether 32 bytes are a public key's; what a program owns are not."""
    return _unpack(raw) is not None


def _clamped(private: bytes) -> tuple[int, bytes]:
    digest = sha512(private).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    return scalar, digest[32:]


def _digest(*parts: bytes) -> int:
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % ORDER


def _sum(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % FIELD
    b = (one[1] + one[0]) * (two[1] + two[0]) % FIELD
    c = 2 * one[3] * two[3] * _D % FIELD
    d = 2 * one[2] * two[2] % FIELD
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


def _times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        scalar >>= 1
    return found


def _same(one: Point, two: Point) -> bool:
    across = (one[0] * two[2] - two[0] * one[2]) % FIELD
    return across == 0 and (one[1] * two[2] - two[1] * one[2]) % FIELD == 0


def _pack(point: Point) -> bytes:
    inverse = pow(point[2], FIELD - 2, FIELD)
    x, y = point[0] * inverse % FIELD, point[1] * inverse % FIELD
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _unpack(raw: bytes) -> Point | None:
    value = int.from_bytes(raw, "little")
    y, odd = value & (_SIGN_BIT - 1), value >> 255
    if len(raw) != 32 or y >= FIELD:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, FIELD - 2, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * _ROOT % FIELD
    if (x * x - square) % FIELD or (x == 0 and odd):
        return None
    x = FIELD - x if x & 1 != odd else x
    return x, y, 1, x * y % FIELD


def _base() -> Point:
    found = _unpack((4 * pow(5, FIELD - 2, FIELD) % FIELD).to_bytes(32, "little"))
    assert found is not None, "the base point is on the curve"
    return found


BASE = _base()
