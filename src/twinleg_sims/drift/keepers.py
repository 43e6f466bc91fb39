"""What others do on the chain: oracles post, keepers fill and clear orders, cranks set the funding."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from twinleg_sims.drift import closing, funding, positions, triggers
from twinleg_sims.drift.call import Meta
from twinleg_sims.drift.genesis import MarketTerms, oracle_key
from twinleg_sims.drift.keys import discriminator, made_up, to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Done, Ledger, Overlay, Result
from twinleg_sims.drift.transaction import compiled, decode

KEEPER = made_up("keeper")
_FILL = discriminator("global", "fill_perp_order")
_TRIGGER = discriminator("global", "trigger_order")
_FUNDING = discriminator("global", "update_funding_rate")
_MAKERS_MAX = 12
_REACTION_SLOTS = (1, 2, 3)
"""How many slots after an order keepers first look at it."""


class Keepers:
    """The keepers of a chain; dice of their own, so that the same orders at the same slots meet the same keepers."""

    def __init__(self, ledger: Ledger, terms: list[MarketTerms], seed: int) -> None:
        self._ledger = ledger
        self._terms = {each.index: each for each in terms}
        self._dice = Random(f"{seed}:keepers")
        self._waits: dict[tuple[bytes, int], int] = {}
        self.users: list[bytes] = []
        """Whose orders they watch."""
        keeper = Record(ledger.profile.user, ledger.profile.blank(ledger.profile.user))
        ledger.put(self._user, keeper.data, ledger.profile.program)

    @property
    def _user(self) -> bytes:
        return self._ledger.profile.user_key(KEEPER)

    def work(self, delay_slots: int = 0) -> None:
        """One slot's fills; with a delay, orders are left alone that much longer."""
        seen = set()
        for user_key, order in list(self._orders()):
            seen.add((user_key, order["order_id"]))
            wait = self._waits.setdefault((user_key, order["order_id"]), self._dice.choice(_REACTION_SLOTS))
            if self._ledger.clock.slot - order["slot"] >= wait + delay_slots:
                self._fill(user_key, order)
        self._waits = {name: wait for name, wait in self._waits.items() if name in seen}

    def crank(self) -> list[int]:
        """Set the funding of every market that is due; which."""
        done = []
        for index in self._terms:
            market = self._market(index)
            if self._ledger.clock.ts >= funding.next_due(market["last_funding_rate_ts"]):
                words = index.to_bytes(2, "little")
                self._send(_FUNDING, self._market_metas(index), words)
                done.append(index)
        return done

    def _orders(self) -> Iterator[tuple[bytes, Record]]:
        for address in self.users:
            user = Record(self._ledger.profile.user, self._ledger.held[address].data)
            if user["has_open_order"]:
                for order in positions.open_orders(user):
                    yield address, order

    def _market(self, index: int) -> Record:
        profile = self._ledger.profile
        return Record(profile.perp_market, self._ledger.held[profile.perp_market_key(index)].data)

    def _fill(self, user_key: bytes, order: Record) -> None:
        """Try it on the side first: most attempts would change nothing, and nobody sends those."""
        index, order_id = order["market_index"], order["order_id"]
        if positions.waits(order) and not closing.over(order, self._ledger.clock.ts):
            if triggers.passed(order, self._market(index)["last_oracle_price"]):
                self._trigger(user_key, index, order_id)
            return
        held = self._ledger.held[user_key]
        user = Record(self._ledger.profile.user, held.data)
        stats = self._ledger.profile.stats_key(user.raw("authority"))
        metas = [
            Meta(self._ledger.profile.state_key, signer=False, writable=False),
            Meta(KEEPER, signer=True, writable=False),
            *_writable(self._user, self._ledger.profile.stats_key(KEEPER), user_key, stats),
            *self._market_metas(index),
            *_writable(*[other for other in self._makers(index) if other != user_key][:_MAKERS_MAX]),
        ]
        self._send(_FILL, metas, b"\1" + order_id.to_bytes(4, "little") + b"\0")

    def _trigger(self, user_key: bytes, index: int, order_id: int) -> None:
        metas = [
            Meta(self._ledger.profile.state_key, signer=False, writable=False),
            Meta(KEEPER, signer=True, writable=False),
            *_writable(self._user, user_key),
            *self._market_metas(index),
        ]
        self._send(_TRIGGER, metas, order_id.to_bytes(4, "little"))

    def _makers(self, index: int) -> list[bytes]:
        """Users with orders in a market."""
        return list(dict.fromkeys(user for user, order in self._orders() if order["market_index"] == index))

    def _market_metas(self, index: int) -> list[Meta]:
        profile = self._ledger.profile
        quote = profile.spot_market_key(0)
        oracles = (oracle_key(self._terms[index].asset), oracle_key(profile.quote_symbol))
        return _writable(*oracles, quote, profile.perp_market_key(index))

    def _send(self, disc: bytes, metas: list[Meta], words: bytes) -> None:
        """Run it as a transaction of the keeper's, in this slot. One that fails or says nothing is left out."""
        ledger = self._ledger
        half = made_up("keeper", ledger.clock.slot, disc.hex(), words.hex(), len(ledger.done))
        signature, program = half + half, ledger.profile.program
        keeper = Meta(KEEPER, signer=True, writable=True)
        signed = metas if any(meta.signer for meta in metas) else [keeper, *metas]
        raw = compiled(signed, program, disc + words, ledger.blockhash(ledger.clock.slot), signature)
        overlay = Overlay(ledger.held)
        result = ledger.execute(decode(raw), overlay)
        if result.error is not None or not any(_is_event(line) for line in result.logs):
            return
        mentioned = frozenset(meta.address for meta in [*signed, Meta(program, signer=False, writable=False)])
        result = Result(None, result.logs, ledger.commit(overlay))
        ledger.record(Done(signature, ledger.clock.slot, ledger.clock.ts, raw, result, mentioned))


def _is_event(line: str) -> bool:
    words = line.removeprefix("Program log: ")
    return line.startswith("Program log: ") and " " not in words and len(words) > len(to_base58(bytes(32)))


def _writable(*addresses: bytes) -> list[Meta]:
    return [Meta(address, signer=False, writable=True) for address in addresses]
