"""The facts of a venue's markets, for those who cannot go on without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twinleg.core.messages import Market


class NotListedError(ValueError, KeyError):
    """The venue has not listed the market since this process began: its orders can be neither signed nor read yet."""

    def __str__(self) -> str:
        return str(self.args[0])


class Listed(Mapping[str, Market]):
    """`facts` by market, which grow as venues answer. Raises NotListedError, after a restart perhaps for a while."""

    def __init__(self, facts: Mapping[str, Market]) -> None:
        self._facts = facts

    def __getitem__(self, key: str) -> Market:
        try:
            return self._facts[key]
        except KeyError:
            raise NotListedError(f"{key} is not listed yet") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)
