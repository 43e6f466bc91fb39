"""Drift as a core.trading.TradingVenue: one sub-account's orders out, the truth about it in.

Nothing is numbered here. What stands in for it is the blockhash: bytes are signed for one that was told lately, and
every read brings a new one. An order also carries `max_ts`, after which the program skips it, so that what was not
placed by then never will be. Whose order it was is written into its transaction's compute budget (sign.budget_for).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Purpose
from twinleg.core.trading import AccountEvent, AccountRead, AccountSnapshot, Lane, SendOutcome, Signed
from twinleg.core.venue import Feed, Request, WireError
from twinleg.venues.drift import facts, orders, reads, wire
from twinleg.venues.drift.account import UNREADABLE, DriftAccountFeed, Heard, Rows
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.calls import Calls, Held, Maker
from twinleg.venues.drift.chain.history import History
from twinleg.venues.drift.chain.instructions import Instruction, ModifyParams, OrderParams
from twinleg.venues.drift.chain.keys import address, base58
from twinleg.venues.drift.chain.layout import PERP, SpotMarket, User
from twinleg.venues.drift.chain.message import LookupTable, read_table
from twinleg.venues.drift.chain.money import balance_seen
from twinleg.venues.drift.chain.names import Name, Names
from twinleg.venues.drift.facts import Profile
from twinleg.venues.drift.orders import NewOrder, Steps
from twinleg.venues.drift.sign import Budget, Recent, Wallet, budget_for
from twinleg.venues.drift.venue import rpc_stream_address

LANE = "wallet"
CONFIRMED = {"commitment": "confirmed"}
BASE64 = CONFIRMED | {"encoding": "base64"}
Given = TypeVar("Given")
Made = TypeVar("Made")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How the account is traded. `cluster` is "mainnet" or "devnet"."""

    cluster: str = "mainnet"
    allow_frozen: bool = False
    priority_micro_lamports: int = facts.PRIORITY_MICRO_LAMPORTS


class DriftTrading:
    """`markets` are the facts by key, and may grow. Nothing can be signed before one read brought a blockhash."""

    name = facts.NAME
    trading = facts.TRADING

    def __init__(
        self, rpc_url: str, wallet: Wallet, markets: Mapping[str, Market], profile: Profile, terms: Terms | None = None
    ) -> None:
        self.profile = profile
        self.terms = terms or Terms()
        self._url = rpc_url
        self._wallet = wallet
        self._markets = markets
        self._names = Names()
        self._heard = Heard()
        self._rows = Rows(profile, wallet.user, markets, self._names)
        self._recent: Recent | None = None
        self._tables: tuple[LookupTable, ...] = ()
        self._spots: dict[int, SpotMarket] = {}
        state = reads.state_address(profile)
        self._calls = Calls(profile.program_id, state, profile.dialect, wallet.user, wallet.user_stats, wallet.signer)
        self._history = History(self._rows, wallet.signer, self._budgets(), self._rpc)

    def __repr__(self) -> str:
        return f"DriftTrading({self.profile.name}, {self._wallet!r})"

    @property
    def frozen(self) -> str | None:
        """Why nothing is signed for this program here, None where it is."""
        if self.terms.cluster not in self.profile.frozen_on or self.terms.allow_frozen:
            return None
        return (
            f"{self.profile.name}'s program on {self.terms.cluster} refuses every instruction since 2026-04-01: "
            f"set {facts.PROFILE}=velocity for its successor, or {facts.ALLOW_FROZEN}=true to try all the same"
        )

    def prepare(self, now_ms: int) -> None:
        """The tables that signing needs: 0.1 s, once."""
        self._wallet.load()

    def lanes(self) -> Sequence[str]:
        """One: nothing is numbered here, so one key never waits for itself."""
        return (LANE,)

    def sign(self, intent: Intent, market: Market, lane: Lane, now_ms: int) -> Signed:
        """Raises ValueError, also without a fresh blockhash and for a frozen program."""
        byte = self._names.byte_for(intent.client_id, self._open_bytes(), now_ms)
        params = orders.of_intent(intent, market, byte, self._heard.slots.slot_ms, now_ms)
        reduces_risk = intent.purpose is not Purpose.ENTER
        return self._place(intent.client_id, params, market, lane, now_ms, reduces_risk=reduces_risk)

    def sign_order(self, client_id: str, order: NewOrder, market: Market, lane: Lane, now_ms: int) -> Signed:
        """Any perp order in human units. One without a user_order_id gets a free one. Raises ValueError."""
        orders.check_market(order, market)
        if not order.user_order_id:
            byte = self._names.byte_for(client_id, self._open_bytes(), now_ms)
            order = msgspec.structs.replace(order, user_order_id=byte)
        params = orders.params_of(order, Steps.of(market), self.profile, now_ms)
        return self._place(client_id, params, market, lane, now_ms, reduces_risk=order.reduce_only)

    def sign_take(
        self, client_id: str, order: NewOrder, market: Market, makers: Sequence[Maker], lane: Lane, now_ms: int
    ) -> Signed:  # fmt: skip
        """Place-and-take: fills at once what it can. That it landed does not say that it filled. Raises ValueError."""
        orders.check_market(order, market)
        params = orders.params_of(order, Steps.of(market), self.profile, now_ms, taking=True)
        call = self._calls.place_and_take(params, self._held(market), makers)
        budget = budget_for(client_id, facts.COMPUTE_UNITS_TAKING, self.terms.priority_micro_lamports)
        return self._signed(client_id, [call], budget, lane, now_ms, reduces_risk=order.reduce_only)

    def sign_cancel_and_place(
        self, client_id: str, order: NewOrder, market: Market, lane: Lane, now_ms: int
    ) -> Signed:  # fmt: skip
        """All of the market's orders go and this one comes, or neither. Raises ValueError."""
        placed = self.sign_order(client_id, order, market, lane, now_ms)
        name = self._names.of_client(client_id)
        assert name is not None, "it was just signed"
        order = msgspec.structs.replace(order, user_order_id=name.byte)
        params = orders.params_of(order, Steps.of(market), self.profile, now_ms)
        calls = self._calls.cancel_and_place(params.market_index, PERP, params, self._held(market))
        signed = self._signed(client_id, calls, self._named(client_id), lane, now_ms, reduces_risk=order.reduce_only)
        self._names.sent(msgspec.structs.replace(name, signature=signed.correlation))
        return msgspec.structs.replace(signed, void_after_ms=placed.void_after_ms)

    def sign_modify(
        self, client_id: str, market: Market, size_lots: int, limit_ticks: int, lane: Lane, now_ms: int
    ) -> Signed:  # fmt: skip
        """A new size and limit. The program takes the order back and places another, of a new id and the same label.

        Raises ValueError for an order that the account was not seen to have.
        """
        name, steps = self._names.of_client(client_id), Steps.of(market)
        if name is None or name.order_id is None or size_lots <= 0 or limit_ticks <= 0:
            raise ValueError(f"order {client_id!r} is not known to be open, or would be of nothing")
        change = ModifyParams(base_asset_amount=size_lots * steps.step, price=limit_ticks * steps.tick)
        call = self._calls.modify(name.order_id, change, self._held(market))
        signed = self._signed(client_id, [call], self._named(client_id), lane, now_ms, reduces_risk=False)
        self._names.moved(client_id, signed.correlation)
        return signed

    def sign_cancel(
        self, client_id: str, venue_order_id: str | None, market: Market, lane: Lane, now_ms: int
    ) -> Signed:
        """By the venue's id where that is known, else by the order's label. Raises ValueError without either."""
        name = self._names.of_client(client_id) if client_id else None
        held, known = self._held(market), name.order_id if name is not None else None
        if venue_order_id or known is not None:
            call = self._calls.cancel(int(venue_order_id or known or 0), held)
        elif name is not None:
            call = self._calls.cancel_by_user_id(name.byte, held)
        else:
            raise ValueError(f"order {client_id!r} is not known here by any name of the chain's")
        return self._signed(client_id, [call], self._plain(), lane, now_ms, reduces_risk=True)

    def sign_cancel_all(self, market: Market | None, lane: Lane, now_ms: int) -> Signed:
        """Anybody's orders of the sub-account, not ours alone."""
        index = None if market is None else int(market.native_id)
        call = self._calls.cancel_all(None if market is None else PERP, index, self._held(market))
        return self._signed("", [call], self._plain(), lane, now_ms, reduces_risk=True)

    def sign_nothing(self, client_id: str, market: Market, lane: Lane, now_ms: int) -> Signed:
        """There are no numbers to use up: take the order back."""
        return self.sign_cancel(client_id, None, market, lane, now_ms)

    def sign_leverage(self, market: Market, leverage: float, lane: Lane, now_ms: int) -> Signed:
        """Raises ValueError: an account has no leverage to choose here, only its margin."""
        raise ValueError("Drift has no leverage setting")

    def sign_dead_man_switch(self, fires_at_ms: int | None, lane: Lane, now_ms: int) -> Signed:
        """Raises ValueError: there is none; every order of the machine's carries its own end."""
        raise ValueError("Drift has no dead man's switch")

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:
        """See orders.outcome."""
        return orders.outcome(signed.correlation, status, body)

    def next_number(self, key: str, now_ms: int) -> tuple[Request, Callable[[bytes], int]] | None:
        """None: nothing is numbered."""
        return None

    def blockhash(self, now_ms: int) -> AccountRead:
        """A recent blockhash; every other read brings one, too. Signing needs one every BLOCKHASH_MS_MAX."""
        return self._read([], lambda _results, _now_ms: [])

    def tables(self, now_ms: int) -> AccountRead | None:
        """The profile's lookup tables, to be read once: transactions get smaller. None where there are none."""
        keys = self.profile.tables.get(self.terms.cluster, ())
        if not keys:
            return None

        def parse(results: list[msgspec.Raw], _now_ms: int) -> list[AccountEvent]:
            _, accounts = wire.many_accounts(results[0], len(keys))
            self._tables = tuple(
                _clear(partial(read_table, key), data)
                for key, data in zip(keys, accounts, strict=True)
                if data is not None
            )
            return []

        return self._read([("getMultipleAccounts", [base58(key) for key in keys], BASE64)], parse)

    def self_test(self, now_ms: int) -> tuple[Request, Callable[[bytes], str | None]]:
        """Whether the program takes instructions: a simulated cancel of no orders. The reader raises WireError."""
        call = self._calls.cancel_all(PERP, 0xFFFF, Held((), (), ()))
        made = self._wallet.transaction([call], self._plain(), Recent(bytes(32), 0, now_ms), ())
        how = CONFIRMED | {"encoding": "base64", "replaceRecentBlockhash": True, "sigVerify": False}
        body = wire.batch([wire.call(1, "simulateTransaction", made.wire, how)])
        return self._rpc(body), orders.self_test_outcome

    def open_orders(self, now_ms: int) -> AccountRead:
        """All perp orders that may still fill, anybody's."""
        return self._of_user(lambda user, at_ms: _whole("orders", self._rows.orders(user, at_ms), at_ms))

    def positions(self, now_ms: int) -> AccountRead:
        """All open perp positions."""
        return self._of_user(lambda user, at_ms: _whole("positions", self._rows.positions(user, at_ms), at_ms))

    def order(self, client_id: str, market: Market, now_ms: int) -> list[AccountRead]:
        """The account first, then the transactions that named it: an order that ended in between is in the latter."""

        def mine(user: User, at_ms: int) -> list[AccountEvent]:
            return [row for row in self._rows.orders(user, at_ms) if client_id in (row.client_id, row.name)]

        name = self._names.of_client(client_id)
        since_ms = name.void_after_ms - facts.FATE_BACK_MS if name else now_ms - facts.FATE_BACK_UNKNOWN_MS
        return [self._of_user(mine), self._history.of_order(client_id, since_ms)]

    def transaction(self, correlation: str, now_ms: int) -> AccountRead | None:
        """None: nothing is numbered. What became of a signature is in `order`."""
        return None

    def fills(self, since_ms: int, now_ms: int) -> AccountRead:
        """All fills from `since_ms` on, by the transactions that named the account, newest first."""
        return self._history.fills(since_ms)

    def balance(self, now_ms: int) -> AccountRead:
        """The money, by the account and the markets that it was last seen to hold, whose oracles it learns besides."""
        seen = self._heard.account
        spots = sorted({0, *([] if seen is None else (slot.market_index for slot in seen.balances()))})
        perps = sorted(set() if seen is None else {slot.market_index for slot in seen.positions()})
        keys = [self._wallet.user, *(reads.spot_market_address(self.profile, index) for index in spots)]
        keys += [reads.perp_market_address(self.profile, index) for index in perps]
        made = self.profile.layout

        def parse(results: list[msgspec.Raw], at_ms: int) -> list[AccountEvent]:
            slot, accounts = wire.many_accounts(results[0], len(keys))
            user, *found = [data or b"" for data in accounts]
            account = _clear(partial(layout.read_user, made), user)
            self._heard.read(account, slot)
            read = [_clear(partial(layout.read_spot_market, made), data) for data in found[: len(spots)]]
            held = [_clear(partial(layout.read_perp_market, made), data) for data in found[len(spots) :]]
            self._spots |= {one.market_index: one for one in read}
            by_index = {one.market_index: one for one in held}
            seen = balance_seen(account, {one.market_index: one for one in read}, by_index, at_ms)
            return _whole("balance", [seen], at_ms)

        return self._read([("getMultipleAccounts", [base58(key) for key in keys], BASE64)], parse)

    def funding_paid(self, now_ms: int) -> AccountRead:
        """Funding booked in the last FUNDING_BACK_MS, oldest first."""
        return self._history.funding(now_ms - facts.FUNDING_BACK_MS)

    def fees(self, now_ms: int) -> AccountRead | None:
        """None: the markets' own fees are those of the lowest tier, paid until one trades millions."""
        return None

    def account_feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """One stream tells all of the account, whatever the markets."""
        return [DriftAccountFeed(rpc_stream_address(self._url), self._rows, self._heard)]

    def _place(
        self, client_id: str, params: OrderParams, market: Market, lane: Lane, now_ms: int, *, reduces_risk: bool
    ) -> Signed:  # fmt: skip
        held = [] if self._heard.account is None else self._heard.account.balances()
        unknown = {slot.market_index for slot in held} - self._spots.keys() - {0}
        if unknown:
            raise ValueError(
                f"the account holds spot markets {sorted(unknown)}, whose oracles the balance's read tells"
            )
        call = self._calls.place(params, self._held(market))
        signed = self._signed(client_id, [call], self._named(client_id), lane, now_ms, reduces_risk=reduces_risk)
        until_ms = signed.void_after_ms
        if params.max_ts is not None:
            until_ms = min(until_ms, params.max_ts * 1_000 + facts.CLOCK_SKEW_MS_MAX)
        seen = self._heard.account
        first = 0 if seen is None else int(seen.tail[self.profile.layout.next_order_id_in_tail])
        asked = orders.asked_for(client_id, params, market, now_ms)
        self._names.sent(
            Name(client_id, params.market_index, params.user_order_id, signed.correlation, first, until_ms, asked)
        )
        return msgspec.structs.replace(signed, void_after_ms=until_ms)

    def _signed(
        self, client_id: str, calls: list[Instruction], budget: Budget, lane: Lane, now_ms: int, *, reduces_risk: bool
    ) -> Signed:  # fmt: skip
        if self.frozen is not None:
            raise ValueError(self.frozen)
        recent = self._recent
        if recent is None or not 0 <= now_ms - recent.told_ms <= facts.BLOCKHASH_MS_MAX:
            raise ValueError("no fresh blockhash: the RPC node has to be asked for one first")
        made = self._wallet.transaction(calls, budget, recent, self._tables)
        how = {"encoding": "base64", "preflightCommitment": "confirmed", "maxRetries": 3}
        body = msgspec.json.encode(wire.call(1, "sendTransaction", made.wire, how))
        return Signed(
            client_id=client_id,
            request=self._rpc(body, reduces_risk=reduces_risk),
            correlation=made.signature,
            lane=lane,
            void_after_ms=recent.told_ms + facts.LINGERS_MS,
        )

    def _held(self, market: Market | None) -> Held:
        """What an instruction for `market` must name: it first, then all that the account holds."""
        markets = [] if market is None else [market]
        if self._heard.account is not None:
            markets += [self._rows.market(slot.market_index) for slot in self._heard.account.positions()]
        found = [reads.Addresses.of(one) for one in markets or list(self._markets.values())[:1]]
        oracles = [key for one in found for key in (one.oracle, one.spot_oracle)]
        spots, perps = [one.spot_market for one in found], [one.perp_market for one in found]
        for balance in [] if self._heard.account is None else self._heard.account.balances():
            known = self._spots.get(balance.market_index)
            if known is not None:
                oracles.append(known.oracle)
                spots.append(known.pubkey)
        return Held(tuple(dict.fromkeys(oracles)), tuple(dict.fromkeys(spots)), tuple(dict.fromkeys(perps)))

    def _open_bytes(self) -> set[int]:
        seen = self._heard.account
        return set() if seen is None else {order.user_order_id for order in seen.open_orders()}

    def _plain(self) -> Budget:
        return Budget(facts.COMPUTE_UNITS, self.terms.priority_micro_lamports)

    def _named(self, client_id: str) -> Budget:
        return budget_for(client_id, facts.COMPUTE_UNITS, self.terms.priority_micro_lamports)

    def _budgets(self) -> tuple[Budget, ...]:
        """The budgets that names are written into."""
        price = self.terms.priority_micro_lamports
        return Budget(facts.COMPUTE_UNITS, price), Budget(facts.COMPUTE_UNITS_TAKING, price)

    def _of_user(self, parse: Callable[[User, int], list[AccountEvent]]) -> AccountRead:
        """A read of the User account."""

        def of_account(results: list[msgspec.Raw], at_ms: int) -> list[AccountEvent]:
            slot, data = wire.one_account(results[0])
            if data is None:
                raise WireError("the sub-account does not exist")
            user = _clear(partial(layout.read_user, self.profile.layout), data)
            self._heard.read(user, slot)
            return _clear(partial(parse, user), at_ms)

        return self._read([("getAccountInfo", base58(self._wallet.user), BASE64)], of_account)

    def _read(
        self, calls: list[tuple[object, ...]], parse: Callable[[list[msgspec.Raw], int], list[AccountEvent]]
    ) -> AccountRead:
        """One batch, of which the first answer is a blockhash."""
        every: list[tuple[object, ...]] = [("getLatestBlockhash", CONFIRMED), *calls]
        body = wire.batch([wire.call(number, str(one[0]), *one[1:]) for number, one in enumerate(every, start=1)])

        def read(answer: bytes, at_ms: int) -> list[AccountEvent]:
            first, *rest = wire.results(answer, len(every))
            told = _clear(wire.decode_blockhash, first)
            fresh = Recent(_clear(address, told.value.blockhash), told.context.slot, at_ms)
            if self._recent is None or fresh.slot >= self._recent.slot:
                self._recent = fresh
            self._heard.slot(fresh.slot, at_ms)
            return parse(rest, at_ms)

        return AccountRead(self._rpc(body), read)

    def _rpc(self, body: bytes, *, reduces_risk: bool = False) -> Request:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return Request(
            venue=self.name, method="POST", url=self._url, headers=headers, body=body, reduces_risk=reduces_risk
        )


def _whole(kind: str, rows: Sequence[Any], at_ms: int) -> list[AccountEvent]:
    return [AccountSnapshot(facts.NAME, kind, None, tuple(rows), at_ms)]


def _clear(read: Callable[[Given], Made], given: Given) -> Made:
    """What a reader makes of it. Raises WireError: what is not clear is no answer."""
    try:
        return read(given)
    except UNREADABLE as error:
        raise WireError(f"{error}"[:200]) from error
