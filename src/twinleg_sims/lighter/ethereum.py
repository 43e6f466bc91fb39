"""As much of Ethereum as a wallet's signature needs: Keccak-256, secp256k1, recovering who signed a text (EIP-191)."""

from __future__ import annotations

SIGNATURE_BYTES = 65

_P = 2**256 - 2**32 - 977
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_RATE_BYTES = 136
_LANE = (1 << 64) - 1

Point = tuple[int, int] | None
"""None is the point at infinity."""


def address_of(private: int) -> str:
    """The wallet of a key, with the mixed-case checksum of EIP-55."""
    return _address(_times(private, _G))


def signer(text: str, signature: str) -> str | None:
    """The wallet that signed a text as a personal message; None for a signature (0x and hex) that is none."""
    try:
        data = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        return None
    if len(data) != SIGNATURE_BYTES:
        return None
    r, s, parity = int.from_bytes(data[:32]), int.from_bytes(data[32:64]), (data[64] - 27) % 256 % 27
    if not (0 < r < _ORDER and 0 < s < _ORDER) or parity not in (0, 1):
        return None
    y = pow(r * r * r + 7, (_P + 1) // 4, _P)
    if (y * y - r * r * r - 7) % _P:
        return None
    commitment = (r, y if y % 2 == parity else _P - y)
    encoded = text.encode()
    digest = int.from_bytes(keccak256(b"\x19Ethereum Signed Message:\n%d" % len(encoded) + encoded))
    inverse = pow(r, -1, _ORDER)
    key = _plus(_times(s * inverse % _ORDER, commitment), _times(-digest * inverse % _ORDER, _G))
    return _address(key) if key else None


def keccak256(data: bytes) -> bytes:
    """Keccak as Ethereum uses it, which is not SHA3's padding."""
    padded = bytearray(data + bytes(_RATE_BYTES - len(data) % _RATE_BYTES))
    padded[len(data)] = 0x01
    padded[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]
    for block in range(0, len(padded), _RATE_BYTES):
        for lane in range(_RATE_BYTES // 8):
            at = block + 8 * lane
            state[lane % 5][lane // 5] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(state)
    return b"".join(state[lane][0].to_bytes(8, "little") for lane in range(4))


def _permute(a: list[list[int]]) -> None:
    """Keccak-f[1600], FIPS 202 section 3, in place; a[x][y]."""
    register = 1
    for _ in range(24):
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[x - 1] ^ _rotated(c[(x + 1) % 5], 1) for x in range(5)]
        for x in range(5):
            a[x] = [lane ^ d[x] for lane in a[x]]
        x, y, moved = 1, 0, a[1][0]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            a[x][y], moved = _rotated(moved, (step + 1) * (step + 2) // 2 % 64), a[x][y]
        for y in range(5):
            row = [a[x][y] for x in range(5)]
            for x in range(5):
                a[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5] & _LANE)
        for bit in range(7):
            register = (register << 1 ^ (register >> 7) * 0x71) % 256
            if register & 2:
                a[0][0] ^= 1 << (1 << bit) - 1


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> 64 - by) & _LANE


def _address(key: Point) -> str:
    assert key is not None, "a key is between 1 and the order"
    text = keccak256(key[0].to_bytes(32) + key[1].to_bytes(32))[-20:].hex()
    marks = keccak256(text.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(mark, 16) > 7 else letter for letter, mark in zip(text, marks, strict=False)
    )


def _plus(p: Point, q: Point) -> Point:
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % _P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, _P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, _P)
    x = (slope * slope - p[0] - q[0]) % _P
    return x, (slope * (p[0] - x) - p[1]) % _P


def _times(scalar: int, point: Point) -> Point:
    total: Point = None
    for bit in f"{scalar:b}":
        total = _plus(total, total)
        if bit == "1":
            total = _plus(total, point)
    return total
