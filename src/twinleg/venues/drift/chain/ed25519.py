"""Ed25519 signatures (RFC 8032) in plain integers, since no library that the product installs signs in time.

The base point's multiples are tabled by windows of eight bits, so that a signature is 32 additions and no doubling:
about 0.1 ms, where pycryptodome takes 0.4 ms. The number of additions does not depend on the key. The tables take
50 ms and 4 MB once (`load`). Whoever installs solders can put its Keypair behind sign.Wallet instead.
"""

from __future__ import annotations

import hashlib
from functools import cache

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
TWO_D = 2 * D % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
WINDOWS = 32

Point = tuple[int, int, int, int]
"""(X, Y, Z, T) with x = X/Z, y = Y/Z and xy = T/Z."""
Tabled = tuple[int, int, int]
"""(y + x, y - x, 2dxy) of a point whose Z is 1."""
NEUTRAL: Point = (0, 1, 1, 0)


class Key:
    """A private key, which no repr shows. `seed` is its 32 bytes."""

    __slots__ = ("_prefix", "_scalar", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError("a private key has 32 bytes")
        digest = hashlib.sha512(seed).digest()
        self._scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
        self._prefix = digest[32:]
        self.public = encoded(base_times(self._scalar))

    def __repr__(self) -> str:
        return f"Key({self.public.hex()})"

    def sign(self, message: bytes) -> bytes:
        """The signature's 64 bytes; the same message always has the same."""
        nonce = int.from_bytes(hashlib.sha512(self._prefix + message).digest(), "little") % ORDER
        first = encoded(base_times(nonce))
        challenge = int.from_bytes(hashlib.sha512(first + self.public + message).digest(), "little") % ORDER
        return first + ((nonce + challenge * self._scalar) % ORDER).to_bytes(32, "little")


def load() -> None:
    """Make the tables."""
    _tables()


def base_times(scalar: int) -> Point:
    """`scalar` (below 2^256) times the base point."""
    x, y, z, t = NEUTRAL
    p = P
    for table, digit in zip(_tables(), scalar.to_bytes(WINDOWS, "little"), strict=True):
        plus, minus, twice = table[digit]
        a = (y - x) * minus % p
        b = (y + x) * plus % p
        c = t * twice % p
        d = z + z
        e, f, g, h = b - a, d - c, d + c, b + a
        x, y, z, t = e * f % p, g * h % p, f * g % p, e * h % p
    return x, y, z, t


def encoded(point: Point) -> bytes:
    """A point as the wire has it: y, and the lowest bit of x on top."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return ((y * inverse % P) | ((x * inverse % P & 1) << 255)).to_bytes(32, "little")


def on_curve(text: bytes) -> bool:
    """Whether 32 bytes are a point. Addresses that a program owns must not be one."""
    return _x_of(int.from_bytes(text, "little") & ((1 << 255) - 1)) is not None


def _x_of(y: int) -> int | None:
    """One of the two x of a point, None when there is none."""
    if y >= P:
        y -= P
    above, below = (y * y - 1) % P, (D * y * y + 1) % P
    x = above * pow(below, 3, P) * pow(above * pow(below, 7, P), (P - 5) // 8, P) % P
    square = below * x * x % P
    if square == above:
        return x
    return x * ROOT_OF_MINUS_ONE % P if square == P - above else None


@cache
def _tables() -> tuple[tuple[Tabled, ...], ...]:
    """For each window i, the multiples 0 to 255 of 256^i times the base point."""
    base_y = 4 * pow(5, -1, P) % P
    base_x = _x_of(base_y)
    assert base_x is not None, "the base point is a point"
    base_x = P - base_x if base_x & 1 else base_x
    step: Point = (base_x, base_y, 1, base_x * base_y % P)
    tables = []
    for _ in range(WINDOWS):
        multiples = [NEUTRAL]
        for _ in range(256):
            multiples.append(_add(multiples[-1], step))
        step = multiples.pop()
        tables.append(_tabled(multiples))
    return tuple(tables)


def _add(one: Point, other: Point) -> Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = t1 * t2 % P * TWO_D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _tabled(points: list[Point]) -> tuple[Tabled, ...]:
    """With Z divided out, all of them for the price of one inversion."""
    products = [1]
    for point in points:
        products.append(products[-1] * point[2] % P)
    inverse = pow(products[-1], -1, P)
    found: list[Tabled] = []
    for point, before in zip(reversed(points), reversed(products[:-1]), strict=True):
        of_z, inverse = inverse * before % P, inverse * point[2] % P
        x, y = point[0] * of_z % P, point[1] * of_z % P
        found.append(((y + x) % P, (y - x) % P, x * y % P * TWO_D % P))
    return tuple(reversed(found))
