"""Byte layouts: named little-endian fields at fixed offsets, read and written in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_WIDTHS = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "u128": 16, "i128": 16}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field lies. `inner` is the layout of nested records; `count` of them follow one another."""

    offset: int
    width: int
    signed: bool = False
    inner: Layout | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields by name, as written in a text "name:type ..."; see `layout`."""

    name: str
    size: int
    fields: dict[str, Field] = field(repr=False)


def layout(name: str, spec: str, *inner: Layout) -> Layout:
    """Read "name:u64 other:b32 orders:Order*32 @312 oracle:b32": types, nested layouts, and where to go on from.

    `bN` are N raw bytes. Raises KeyError for an unknown type.
    """
    known = {each.name: each for each in inner}
    fields: dict[str, Field] = {}
    offset = end = 0
    for word in spec.split():
        if word.startswith("@"):
            offset = int(word[1:])
            end = max(end, offset)
            continue
        label, kind = word.split(":")
        kind, _, times = kind.partition("*")
        count = int(times or 1)
        if kind in _WIDTHS:
            made = Field(offset, _WIDTHS[kind], kind.startswith("i"), None, count)
        elif kind in known:
            made = Field(offset, known[kind].size, False, known[kind], count)
        elif kind.startswith("b"):
            made = Field(offset, int(kind[1:]), False, None, count)
        else:
            raise KeyError(f"{name}.{label}: no type {kind!r}")
        fields[label] = made
        offset += made.width * count
        end = max(end, offset)
    return Layout(name, end, fields)


class Record:
    """One record inside a buffer: `record["price"]` reads a number, `record["price"] = 1` writes it in place."""

    __slots__ = ("base", "data", "layout")

    def __init__(self, shape: Layout, data: bytearray, base: int = 0) -> None:
        self.layout = shape
        self.data = data
        self.base = base

    def __getitem__(self, name: str) -> int:
        place = self.layout.fields[name]
        start = self.base + place.offset
        return int.from_bytes(self.data[start : start + place.width], "little", signed=place.signed)

    def __setitem__(self, name: str, value: int) -> None:
        """Raises OverflowError when the number does not fit."""
        place = self.layout.fields[name]
        start = self.base + place.offset
        self.data[start : start + place.width] = value.to_bytes(place.width, "little", signed=place.signed)

    def get(self, name: str, missing: int) -> int:
        """A number, `missing` when this layout has no such field."""
        return self[name] if name in self.layout.fields else missing

    def raw(self, name: str) -> bytes:
        """The bytes of a field, all of them when it repeats."""
        place = self.layout.fields[name]
        start = self.base + place.offset
        return bytes(self.data[start : start + place.width * place.count])

    def put(self, name: str, raw: bytes) -> None:
        """Write the bytes of a field, filled up with zeros. Raises ValueError when there are too many."""
        place = self.layout.fields[name]
        room = place.width * place.count
        if len(raw) > room:
            raise ValueError(f"{self.layout.name}.{name} holds {room} bytes, not {len(raw)}")
        start = self.base + place.offset
        self.data[start : start + room] = raw.ljust(room, b"\0")

    def at(self, name: str, index: int = 0) -> Record:
        """A nested record."""
        place = self.layout.fields[name]
        assert place.inner is not None, f"{name} is no record"
        return Record(place.inner, self.data, self.base + place.offset + index * place.width)

    def all(self, name: str) -> list[Record]:
        """Every nested record of a name."""
        return [self.at(name, index) for index in range(self.layout.fields[name].count)]

    def bytes(self) -> bytes:
        """The record's own bytes."""
        return bytes(self.data[self.base : self.base + self.layout.size])

    def clear(self) -> None:
        """All zeros."""
        self.data[self.base : self.base + self.layout.size] = bytes(self.layout.size)


def flat(shape: Layout) -> Layout:
    """The same bytes with the fields of single nested records beside its own; of two of a name the outer or first."""
    fields = dict(shape.fields)
    for place in shape.fields.values():
        if place.inner is not None and place.count == 1:
            for name, inside in flat(place.inner).fields.items():
                moved = Field(place.offset + inside.offset, inside.width, inside.signed, inside.inner, inside.count)
                fields.setdefault(name, moved)
    return Layout(shape.name, shape.size, fields)


Plain = dict[str, object]


def decoded(record: Record) -> Plain:
    """Everything a record says: numbers, raw bytes, and nested records in lists."""
    return dict(_plain(record))


def encoded(shape: Layout, plain: Plain) -> bytes:
    """The bytes of what `decoded` gave. Bytes that no field names are zero."""
    record = Record(shape, bytearray(shape.size))
    for name, place in shape.fields.items():
        value = plain[name]
        if isinstance(value, bytes):
            record.put(name, value)
        elif isinstance(value, int):
            record[name] = value
        elif isinstance(value, list) and place.inner is not None:
            record.put(name, b"".join(encoded(place.inner, each) for each in value))
    return record.bytes()


def _plain(record: Record) -> Iterator[tuple[str, object]]:
    for name, place in record.layout.fields.items():
        if place.inner is not None:
            yield name, [decoded(each) for each in record.all(name)]
        elif place.width > 16 or place.count > 1 or name.startswith("_"):
            yield name, record.raw(name)
        else:
            yield name, record[name]
