"""Rows of figures on a terminal of any width. A figure is shown whole or not at all, never cut.

A sheet has main columns and more columns. When all fit into the width they stand in one row; else the more columns
follow under their row as "title figure" words, wrapped. Notes (reasons) are listed whole, the rest is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import msgspec

GAP = "  "
INDENT = "    "
HARD_SPACE = "\xa0"
"""Keeps a title and its figure on one line."""


class Row(msgspec.Struct, frozen=True):
    """One row: figures in the order of the sheet's titles, notes, and a style for all of it."""

    main: tuple[str, ...]
    more: tuple[str, ...]
    notes: tuple[str, ...] = ()
    style: str = ""


class Line(msgspec.Struct, frozen=True):
    """One line of text and how it looks."""

    text: str
    style: str = ""


class Sheet(msgspec.Struct, frozen=True):
    """Titles. The first `left` main columns are words, aligned left; all others are figures, aligned right."""

    main: tuple[str, ...]
    more: tuple[str, ...]
    left: int

    def lines(self, rows: Sequence[Row], width: int, height: int) -> list[Line]:
        """The heading and as many whole rows as `height` lines hold; if some do not fit, the last line counts them."""
        widths = self._widths(rows)
        blocks = self._wide(rows, widths, width) if self._fits(widths, width) else self._narrow(rows, widths, width)
        shown, used = [], 0
        for position, block in enumerate(blocks):
            spare = 0 if position == len(blocks) - 1 else 1
            if used + len(block) + spare > height:
                shown.append(Line(f"{INDENT}{len(blocks) - position} more: a taller terminal shows them", "dim"))
                break
            shown += block
            used += len(block)
        return shown

    def _widths(self, rows: Sequence[Row]) -> list[int]:
        table = [(*self.main, *self.more), *((*row.main, *row.more) for row in rows)]
        return [max(map(len, column)) for column in zip(*table, strict=True)]

    def _fits(self, widths: list[int], width: int) -> bool:
        return sum(widths) + len(GAP) * len(widths) + len("refusals") <= width

    def _wide(self, rows: Sequence[Row], widths: list[int], width: int) -> list[list[Line]]:
        blocks = [[Line(self._row((*self.main, *self.more), widths), "bold")]]
        for row in rows:
            text = self._row((*row.main, *row.more), widths) + GAP
            blocks.append([Line(text + listed(row.notes, width - len(text)), row.style)])
        return blocks

    def _narrow(self, rows: Sequence[Row], widths: list[int], width: int) -> list[list[Line]]:
        count = len(self.main)
        while count > self.left and sum(widths[:count]) + len(GAP) * (count - 1) > width:
            count -= 1
        blocks = [[Line(self._row(self.main[:count], widths)[:width], "bold")]]
        titles = (*self.main[count:], *self.more)
        for row in rows:
            figures = zip(titles, (*row.main[count:], *row.more), strict=True)
            words = ", ".join(f"{title} {figure}".replace(" ", HARD_SPACE) for title, figure in figures)
            details = [INDENT + line for line in wrap(words, width - len(INDENT))]
            first = self._row(row.main[:count], widths)[:width]
            notes = ", ".join(row.notes)
            if len(first) + len(GAP) + len(notes) <= width:
                first += GAP + notes
            else:
                details.append(INDENT + listed(row.notes, width - len(INDENT)))
            blocks.append([Line(first, row.style), *(Line(text.replace(HARD_SPACE, " "), "dim") for text in details)])
        return blocks

    def _row(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.ljust(width) if position < self.left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(cells, widths, strict=False))
        ]
        return GAP.join(padded)


def listed(notes: Sequence[str], width: int) -> str:
    """As many whole notes as fit into `width`, then how many there are besides: "edge 3.2 (limit 5), +2"."""
    for count in range(len(notes), -1, -1):
        left = len(notes) - count
        text = ", ".join([*notes[:count], *([f"+{left}"] if left else [])])
        if len(text) <= width:
            return text
    return ""
