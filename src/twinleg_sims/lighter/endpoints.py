"""What the private REST endpoints share: who asks, and a table of what they answer."""

from __future__ import annotations

from collections.abc import Callable

from twinleg_sims.lighter.asked import Asked
from twinleg_sims.lighter.private import RULES, Private
from twinleg_sims.lighter.users import User
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import LIGHTER
from twinleg_sims.margin import Figures, figures

OK: Row = {"code": 200}
Endpoint = Callable[[Asked, int], Row]


class Endpoints:
    """Some endpoints over one private side. `table`: name below /api/v1/ -> method and function."""

    table: dict[str, tuple[str, Endpoint]]

    def __init__(self, private: Private) -> None:
        self._private = private
        self._view = private.view
        self._rules = RULES.margin

    def _user_of(self, asked: Asked, now_ms: int, name: str = "account_index") -> User:
        """The account a request is about, if its token opens it. Raises RefusedError."""
        user = self._private.users.find(asked.number(name))
        expired = self._view.faults.active(LIGHTER, "token_expired", now_ms)
        self._private.tokens.check("0:0:0:0" if expired else asked.token, user, self._view.stamp_ms(now_ms))
        return user

    def _offset_ms(self, now_ms: int) -> int:
        """How far the venue's clock is off."""
        return self._view.stamp_ms(now_ms) - now_ms

    def _figures(self, user: User) -> Figures:
        """As the mirror knows the account."""
        return figures(user.mirror, self._rules)
