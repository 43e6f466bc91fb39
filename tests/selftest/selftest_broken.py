"""Ways to break the product, each with the rule that must see it. Not mocks: the very code with one line changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pytest

from twinleg.core import pursue
from twinleg.core.move import Move
from twinleg.core.orders import Intent, OrderDone, OrderUnknown
from twinleg.runtime import books, desk, gate
from twinleg_selftest.network import Weather
from twinleg_selftest.trial import Outcome, run_seeds

Break = Callable[[pytest.MonkeyPatch], str]


def broken(rule: str, seeds: Iterable[int], weather: Weather) -> Outcome | None:
    """The first outcome that violates the rule."""
    for seed in seeds:
        [outcome] = run_seeds(seed, 1, lambda _: None, weather=weather)
        if any(rule in violation for violation in outcome.violations):
            return outcome
    return None


def sends_before_it_is_durable(patch: pytest.MonkeyPatch) -> str:
    async def hasty(_books: books.Books, pending: books.Pending) -> None:
        pending.sequence = None

    patch.setattr(books.Books, "durable", hasty)
    return "I1"


def sends_again_what_is_unknown(patch: pytest.MonkeyPatch) -> str:
    tell = gate.VenueGate._tell

    def blind(self: gate.VenueGate, event: object) -> None:
        if isinstance(event, OrderUnknown) and self.prepared_used < 10_000:
            known = self._known[event.client_id]
            self._start(self._submit(known, None))
            return
        tell(self, event)  # type: ignore[arg-type]

    patch.setattr(gate.VenueGate, "_tell", blind)
    return "I2"


def takes_a_timeout_for_no_fill(patch: pytest.MonkeyPatch) -> str:
    note = gate.VenueGate._tell

    def sure(self: gate.VenueGate, event: object) -> None:
        if isinstance(event, OrderUnknown):
            event = OrderDone(event.client_id, "surely not", 0, event.at_ms)
        note(self, event)  # type: ignore[arg-type]

    patch.setattr(gate.VenueGate, "_tell", sure)
    return "I4"


def halts_without_a_word(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(Move, "alert", lambda self, text: None)
    return "nobody was told"


def forgets_to_put_legs_right(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(pursue, "exposed", lambda trade: None)
    patch.setattr(pursue, "worth_holding", lambda trade: True)
    return "I3"


def stops_its_clocks(patch: pytest.MonkeyPatch) -> str:
    do = desk.Desk._do

    def deaf(self: desk.Desk, effect: object, late: str | None) -> None:
        do(self, effect, late)  # type: ignore[arg-type]
        self._due_ms.clear()

    patch.setattr(desk.Desk, "_do", deaf)
    return "I3"


def buys_more_than_planned(patch: pytest.MonkeyPatch) -> str:
    submit = gate.VenueGate.submit

    def generous(self: gate.VenueGate, intent: Intent, now_ms: int) -> None:
        submit(self, msgspec.structs.replace(intent, size_lots=intent.size_lots * 2), now_ms)

    patch.setattr(gate.VenueGate, "submit", generous)
    return "I1"


def knows_no_limits(patch: pytest.MonkeyPatch) -> str:
    from twinleg.core import planning  # noqa: PLC0415
    from twinleg.core.orders import TradePlan  # noqa: PLC0415

    plan = planning.plan_trade

    def large(*args: object) -> TradePlan:
        made = plan(*args)  # type: ignore[arg-type]
        return msgspec.structs.replace(made, common_lots=made.common_lots * 100)

    patch.setattr(desk, "plan_trade", large)
    return "I7"


def forgets_fees(patch: pytest.MonkeyPatch) -> str:
    from twinleg.core import ledger  # noqa: PLC0415

    book = ledger.LegAccount.book

    def free(self: ledger.LegAccount, lots: int, price: int, _fee: int, at_ms: int) -> None:
        book(self, lots, price, 0, at_ms)

    patch.setattr(ledger.LegAccount, "book", free)
    return "I8"


BREAKS: dict[str, Break] = {
    one.__name__: one
    for one in (
        sends_before_it_is_durable,
        sends_again_what_is_unknown,
        takes_a_timeout_for_no_fill,
        halts_without_a_word,
        forgets_to_put_legs_right,
        stops_its_clocks,
        buys_more_than_planned,
        knows_no_limits,
        forgets_fees,
    )
}
RARE = {"takes_a_timeout_for_no_fill": Weather(order=0.6, fates=("late_request", "lost_ack"))}
"""What the venues' own rules make harmless most of the time needs more of a storm to be seen."""
