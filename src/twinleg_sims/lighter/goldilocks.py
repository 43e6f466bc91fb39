"""Lighter's fields: Goldilocks (p = 2^64 - 2^32 + 1) and its quintic extension GF(p^5) = GF(p)[z] / (z^5 - 3).

An element of the extension is five canonical integers, lowest power first; 40 bytes little-endian on the wire. The
definitions are Thomas Pornin's ("EcGFp5: a Specialized Elliptic Curve", 2022), which Lighter's signer follows.
"""

from __future__ import annotations

from struct import Struct

P = 2**64 - 2**32 + 1
Quintic = tuple[int, int, int, int, int]
ZERO: Quintic = (0, 0, 0, 0, 0)
ONE: Quintic = (1, 0, 0, 0, 0)
QUINTIC_BYTES = 40

_FIFTH_ROOT = pow(3, (P - 1) // 5, P)
"""Of unity: z^p = _FIFTH_ROOT * z."""
_FROBENIUS = [[pow(_FIFTH_ROOT, times * power, P) for power in range(5)] for times in range(5)]
_NON_SQUARE = 7
_TWO_ADICITY = 32
_LIMBS = Struct("<5Q")


class NotCanonicalError(ValueError):
    """Bytes that are not forty, or a limb that is not below p."""


def from_bytes(data: bytes) -> Quintic:
    """Raises NotCanonicalError."""
    if len(data) != QUINTIC_BYTES:
        raise NotCanonicalError(f"{len(data)} bytes")
    a, b, c, d, e = _LIMBS.unpack(data)
    if max(a, b, c, d, e) >= P:
        raise NotCanonicalError("a limb is not below p")
    return a, b, c, d, e


def to_bytes(x: Quintic) -> bytes:
    return _LIMBS.pack(*x)


def add(a: Quintic, b: Quintic) -> Quintic:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P, (a[2] + b[2]) % P, (a[3] + b[3]) % P, (a[4] + b[4]) % P


def sub(a: Quintic, b: Quintic) -> Quintic:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P, (a[2] - b[2]) % P, (a[3] - b[3]) % P, (a[4] - b[4]) % P


def scale(a: Quintic, by: int) -> Quintic:
    return a[0] * by % P, a[1] * by % P, a[2] * by % P, a[3] * by % P, a[4] * by % P


def mul(a: Quintic, b: Quintic) -> Quintic:
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    return (
        (a0 * b0 + 3 * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)) % P,
        (a0 * b1 + a1 * b0 + 3 * (a2 * b4 + a3 * b3 + a4 * b2)) % P,
        (a0 * b2 + a1 * b1 + a2 * b0 + 3 * (a3 * b4 + a4 * b3)) % P,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 3 * a4 * b4) % P,
        (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0) % P,
    )


def square(a: Quintic) -> Quintic:
    a0, a1, a2, a3, a4 = a
    b0, b1 = 2 * a0, 2 * a1
    return (
        (a0 * a0 + 6 * (a1 * a4 + a2 * a3)) % P,
        (b0 * a1 + 6 * a2 * a4 + 3 * a3 * a3) % P,
        (b0 * a2 + a1 * a1 + 6 * a3 * a4) % P,
        (b0 * a3 + b1 * a2 + 3 * a4 * a4) % P,
        (b0 * a4 + b1 * a3 + a2 * a2) % P,
    )


def inverse(a: Quintic) -> Quintic:
    """1/a, and 0 for 0. The norm a * a^(p + p^2 + p^3 + p^4) lies in the base field."""
    others = _conjugates(a)
    return scale(others, pow(mul(a, others)[0], P - 2, P))


def is_square(a: Quintic) -> bool:
    """Whether a non-zero element has a root: it has one just when its norm has one in the base field."""
    return pow(mul(a, _conjugates(a))[0], (P - 1) // 2, P) == 1


def root(a: Quintic) -> Quintic | None:
    """One of the square roots, None when there is none.

    With r = 1 + p + p^2 + p^3 + p^4, which is odd, a = a^r / a^(r - 1), and a^r is the norm.
    """
    half = _power(a, (P + 1) // 2)
    half = _frobenius(mul(half, _frobenius(half, 2)), 1)
    found = _base_root(mul(a, square(half))[0])
    return None if found is None else scale(inverse(half), found)


def _frobenius(a: Quintic, times: int) -> Quintic:
    """a^(p^times)."""
    c = _FROBENIUS[times]
    return a[0], a[1] * c[1] % P, a[2] * c[2] % P, a[3] * c[3] % P, a[4] * c[4] % P


def _conjugates(a: Quintic) -> Quintic:
    """a^(p + p^2 + p^3 + p^4)."""
    once = _frobenius(a, 1)
    twice = mul(once, _frobenius(once, 1))
    return mul(twice, _frobenius(twice, 2))


def _power(a: Quintic, exponent: int) -> Quintic:
    result = ONE
    for bit in f"{exponent:b}":
        result = square(result)
        if bit == "1":
            result = mul(result, a)
    return result


def _base_root(a: int) -> int | None:
    """A square root in the base field by Tonelli and Shanks."""
    if a == 0:
        return 0
    if pow(a, (P - 1) // 2, P) != 1:
        return None
    odd = (P - 1) >> _TWO_ADICITY
    unit, rest, found = pow(_NON_SQUARE, odd, P), pow(a, odd, P), pow(a, (odd + 1) // 2, P)
    left = _TWO_ADICITY
    while rest != 1:
        order, power = 0, rest
        while power != 1:
            power, order = power * power % P, order + 1
        step = pow(unit, 1 << (left - order - 1), P)
        unit, found, left = step * step % P, found * step % P, order
        rest = rest * unit % P
    return found
