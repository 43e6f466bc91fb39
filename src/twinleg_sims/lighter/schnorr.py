"""Lighter's signatures: Schnorr over ECgFp5 with Poseidon2. Keys, verification and auth tokens' message hash.

The curve is y^2 = x (x^2 + 2x + 263z) over GF(p^5) ("EcGFp5: a Specialized Elliptic Curve", Pornin 2022; complete
formulas in fractional (x, u) coordinates with u = x/y from there). A point's 40-byte encoding is w = y/x. A signature
is s, e: two 40-byte little-endian scalars with e = H(encode(s G + e Q), message).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha512
from typing import NamedTuple

from twinleg_sims.lighter import goldilocks as field
from twinleg_sims.lighter.goldilocks import P, Quintic
from twinleg_sims.lighter.poseidon2 import hashed_quintic

ORDER = 1067993516717146951041484916571792702745057740581727230159139685185762082554198619328292418486241
SIGNATURE_BYTES = 80
SCALAR_BYTES = 40

KEYS_KEPT = 1_024
"""Decoded keys and their small multiples, kept between verifications."""

_B = 263
"""The curve's b is 263 z."""
_WINDOW = 4


class Point(NamedTuple):
    """x = X/Z, u = U/T; the neutral has u = 0."""

    x: Quintic
    z: Quintic
    u: Quintic
    t: Quintic


NEUTRAL = Point(field.ZERO, field.ONE, field.ZERO, field.ONE)
GENERATOR = Point(
    (
        12883135586176881569,
        4356519642755055268,
        5248930565894896907,
        2165973894480315022,
        2448410071095648785,
    ),
    field.ONE,
    field.ONE,
    (4, 0, 0, 0, 0),
)


class NoPointError(ValueError):
    """Forty bytes that encode no point of the curve."""


def private_key(seed: str) -> int:
    """A key that is a function of a text. Never for real money."""
    return int.from_bytes(sha512(seed.encode()).digest()) % (ORDER - 1) + 1


def public_key(private: int) -> bytes:
    """The 40 bytes the venue registers."""
    return field.to_bytes(encoded(multiplied((private, GENERATOR))))


def verify(public: bytes, message: Quintic, signature: bytes) -> bool:
    """Whether `signature` (80 bytes) of a hashed message is by the owner of `public`. False for malformed ones."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    s = int.from_bytes(signature[:SCALAR_BYTES], "little")
    e = int.from_bytes(signature[SCALAR_BYTES:], "little")
    if s >= ORDER or e >= ORDER:
        return False
    try:
        point = decoded(public)
    except ValueError:
        return False
    return challenge(multiplied((s, GENERATOR), (e, point)), message) == e


def challenge(r: Point, message: Quintic) -> int:
    """The scalar e of a commitment and a hashed message."""
    digest = hashed_quintic(encoded(r) + message)
    return int.from_bytes(field.to_bytes(digest), "little") % ORDER


def text_hash(text: str) -> Quintic:
    """The hash of a text, as of an auth token: eight bytes to an element, little-endian, the last one padded."""
    data = text.encode()
    return hashed_quintic([int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)])


def encoded(point: Point) -> Quintic:
    """w = y/x = 1/u, and 0 for the neutral."""
    return field.mul(point.t, field.inverse(point.u))


@lru_cache(KEYS_KEPT)
def decoded(public: bytes) -> Point:
    """The point of an encoding. Raises NoPointError, and NotCanonicalError for other than five elements.

    x^2 - (w^2 - 2) x + 263z = 0 has two solutions; the one that is no square is meant.
    """
    w = field.from_bytes(public)
    if w == field.ZERO:
        return NEUTRAL
    e = field.sub(field.square(w), (2, 0, 0, 0, 0))
    spread = field.root(field.sub(field.square(e), (0, 4 * _B, 0, 0, 0)))
    if spread is None:
        raise NoPointError(public.hex())
    half = (P + 1) // 2
    x = field.scale(field.add(e, spread), half)
    if field.is_square(x):
        x = field.scale(field.sub(e, spread), half)
    return Point(x, field.ONE, field.ONE, w)


def multiplied(*terms: tuple[int, Point]) -> Point:
    """The sum of scalar times point, all in one run of doublings."""
    tables = [(scalar, _multiples(point)) for scalar, point in terms]
    total = NEUTRAL
    for shift in range(ORDER.bit_length() // _WINDOW * _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = _doubled(total)
        for scalar, table in tables:
            digit = scalar >> shift & (1 << _WINDOW) - 1
            if digit:
                total = _sum(total, table[digit])
    return total


@lru_cache(KEYS_KEPT)
def _multiples(point: Point) -> list[Point]:
    multiples = [NEUTRAL, point]
    while len(multiples) < 1 << _WINDOW:
        multiples.append(_sum(multiples[-1], point))
    return multiples


def _sum(p: Point, q: Point) -> Point:
    """Complete: also for equal points and the neutral."""
    add, sub, mul = field.add, field.sub, field.mul
    xx, zz, uu, tt = mul(p.x, q.x), mul(p.z, q.z), mul(p.u, q.u), mul(p.t, q.t)
    xz = sub(mul(add(p.x, p.z), add(q.x, q.z)), add(xx, zz))
    ut = sub(mul(add(p.u, p.t), add(q.u, q.t)), add(uu, tt))
    b_zz = _times_b(zz)
    both = add(xx, b_zz)
    left = mul(tt, both)
    right = mul(uu, field.scale(add(_times_b(xz), both), 2))
    last = mul(add(tt, field.scale(uu, 2)), add(xz, both))
    return Point(_times_b(sub(last, left)), sub(left, right), mul(ut, sub(b_zz, xx)), add(left, right))


def _doubled(p: Point) -> Point:
    add, sub, mul, square, scale = field.add, field.sub, field.mul, field.square, field.scale
    zt = mul(p.z, p.t)
    ztt = mul(zt, p.t)
    ztu = mul(zt, p.u)
    w = sub(ztt, mul(square(p.u), scale(add(p.x, p.z), 2)))
    four, ww = square(ztu), square(w)
    u = sub(square(add(w, ztu)), add(four, ww))
    t = sub(scale(square(ztt), 2), add(scale(four, 4), ww))
    return Point(scale(_times_b(four), 4), ww, u, t)


def _times_b(a: Quintic) -> Quintic:
    return a[4] * 3 * _B % P, a[0] * _B % P, a[1] * _B % P, a[2] * _B % P, a[3] * _B % P
