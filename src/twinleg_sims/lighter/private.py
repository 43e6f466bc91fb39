"""The private side as one object: accounts, transactions in, reports out to logs and mirrors.

It is driven like a core: `advance` after the world moved. Reports of the engine are taken in there, once, for all
users; the read endpoints (account_rest.py) and channels (account_channels.py) only look at what is kept here.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from twinleg_sims.account import Report
from twinleg_sims.accounts import ACCOUNTS_MAX, Accounts, Rules
from twinleg_sims.lighter import account_wire, ethereum, facts, schnorr
from twinleg_sims.lighter.deals import Deals, remember
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.gate import BATCH_MAX, Admitted, Gate, Setup
from twinleg_sims.lighter.order_checks import OrderChecks
from twinleg_sims.lighter.sequencer import Sequencer, hidden
from twinleg_sims.lighter.tiers import STANDARD, TIERS
from twinleg_sims.lighter.tokens import Tokens
from twinleg_sims.lighter.users import Change, Key, Record, User, Users, Wallet
from twinleg_sims.lighter.view import View
from twinleg_sims.lighter.wire import Row
from twinleg_sims.liquidation import LiquidationRules
from twinleg_sims.listings import LIGHTER
from twinleg_sims.margin import MarginRules, initial_ppm
from twinleg_sims.market import SimMarket
from twinleg_sims.positions import MICRO, Fill
from twinleg_sims.protocol import AccountError, AccountRequest

API_KEYS = (4, 5, 6)
"""What an account comes with, so that one can be kept for what must not wait. Lower ones are the venue's own."""
EQUITY_USD_MAX = 1e12


def _maintenance_ppm(market: SimMarket, _: int) -> int:
    return facts.maintenance_fraction(market.listing) * 100


def _initial_ppm(market: SimMarket) -> int:
    return facts.default_initial_fraction(market.listing) * 100


RULES = Rules(
    MarginRules(_maintenance_ppm, _initial_ppm),
    LiquidationRules(slices=1, slice_min_micro=0, fill_or_kill=False, worse_ppm=0, fee_ppm=10_000),
    cancels_reach_pending=False,
)
"""Cross margin; a liquidation sells at the zero price, then the venue takes the rest over at that price."""


class Private:
    """Lighter's private side. `scale` multiplies the tiers' budgets; infinity means none."""

    def __init__(self, view: View, setup: Setup, scale: float) -> None:
        self.view = view
        self.setup = setup
        self.users = Users()
        self.deals = Deals()
        self.accounts = Accounts(view.world, LIGHTER, RULES, view.faults)
        self.tokens = Tokens(self.users, view.world.seed, verifies=setup.signatures not in ("none", "off"))
        checks = OrderChecks(self.accounts, lambda number: view.market(number, view.world.now_ms))
        self._sequencer = Sequencer(self.accounts, checks, self._recorded)
        self._gate = Gate(self.users, self.accounts, self._sequencer, setup, self._recorded)
        self._scale = scale
        self._wallets: dict[str, Wallet] = {}

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        """A new account with its keys, all of it a function of the seed and of how many there were before.

        Raises AccountError.
        """
        number = sum(1 for _ in self.users)
        if not 0 <= asked.equity_usd <= EQUITY_USD_MAX or number >= ACCOUNTS_MAX:
            raise AccountError(f"no account number {number + 1} with {asked.equity_usd} USD")
        wallet = self._wallet(asked.wallet or f"wallet {number}", asked.tier or STANDARD)
        tier = wallet.terms.engine
        if asked.taker_bps is not None:
            tier = replace(tier, taker_ppm=round(asked.taker_bps * 100))
        if asked.maker_bps is not None:
            tier = replace(tier, maker_ppm=round(asked.maker_bps * 100))
        kin = [user.engine for user in wallet.users]
        engine = self.accounts.create(tier, round(asked.equity_usd * MICRO), asked.name, kin)
        user = User(facts.WORLD_ACCOUNTS + engine.id, wallet, engine, self.view.world.now_ms)
        self.users.add(user)
        privates = {index: self._new_key(user, index) for index in API_KEYS}
        self.advance(self.view.world.now_ms)
        return {
            "account_index": user.index,
            "api_key_index": API_KEYS[0],
            "api_private_key": privates[API_KEYS[0]],
            "api_private_keys": {str(index): private for index, private in privates.items()},
            "l1_address": wallet.address,
            "l1_private_key": f"0x{wallet.private:064x}",
            "chain_id": self.setup.chain_id,
        }

    def _wallet(self, name: str, tier: str) -> Wallet:
        """A known wallet keeps its tier. Raises AccountError."""
        if tier not in TIERS:
            raise AccountError(f"no tier {tier!r}; known: {', '.join(TIERS)}")
        wallet = self._wallets.get(name)
        if wallet is None:
            private = schnorr.private_key(f"{self.view.world.seed}:{name}") % 2**255
            address = f"0x{private:064x}"[:42] if self.setup.signatures == "none" else ethereum.address_of(private)
            wallet = self._wallets[name] = Wallet(private, address, tier, self._scale)
        return wallet

    def _new_key(self, user: User, index: int) -> str:
        """Register a key; its private half as the SDK takes it."""
        private = schnorr.private_key(f"{self.view.world.seed}:{user.index}:{index}")
        secret = private.to_bytes(schnorr.SCALAR_BYTES, "little")
        public = secret if self.setup.signatures == "none" else schnorr.public_key(private)
        user.keys[index] = Key(public, 0, self.view.world.now_ms)
        return secret.hex()

    # Transactions

    def send(self, tx_type: int, info: bytes, now_ms: int) -> tuple[Record, str]:
        """Accept one transaction; its record and the words about the quota. Raises RefusedError."""
        [record], words = self.send_batch([(tx_type, info)], now_ms)
        return record, words

    def send_batch(self, batch: list[tuple[int, bytes]], now_ms: int) -> tuple[list[Record], str]:
        """Accept transactions of one key in order, or none of them. Raises RefusedError."""
        if len(batch) > BATCH_MAX:
            raise RefusedError(21514)
        admitted: list[Admitted] = []
        for tx_type, info in batch:
            admitted.append(self._gate.admit(tx_type, info, self.view.stamp_ms(now_ms), admitted))
        wallet = admitted[0].user.wallet
        if not wallet.transactions.admit("", now_ms, len(batch)):
            raise RefusedError(23000)
        words = [wallet.spend_quota(now_ms) for one in admitted if one.transaction.type != facts.CANCEL_TYPE]
        records = [self._gate.accept(one, now_ms) for one in admitted]
        return records, (words or ["didn't use volume quota"])[-1]

    def predicted_ms(self, record: Record, now_ms: int) -> int:
        """When the venue thinks a transaction will be executed, on its own clock."""
        tier = self.users.find(record.account).engine.tier
        delay_ms = tier.taker_delay_ms if record.type in facts.CREATE_TYPES else tier.maker_delay_ms
        return self.view.stamp_ms(now_ms) + delay_ms

    # As time passes

    def advance(self, now_ms: int) -> None:
        """Take in what the engine reported."""
        taken: list[tuple[User, Report]] = []
        for user in self.users:
            while user.engine.reports:
                taken.append((user, user.engine.reports.popleft()))
        for user, report in taken:
            for fill in report.fills:
                self._know(user, report, fill)
        for user, report in taken:
            self._take_in(user, report, now_ms)
        for user in self.users:
            user.mirror.advance(now_ms)

    def transaction_row(self, record: Record, now_ms: int) -> Row:
        address = self.users.find(record.account).wallet.address
        return account_wire.transaction(record, address, self.view.stamp_ms(now_ms) - now_ms)

    def _know(self, user: User, report: Report, fill: Fill) -> None:
        version = next((order.version for order in report.orders if order.id == fill.order), 0)
        self.deals.take_in(user, fill, version, initial_ppm(user.engine, RULES.margin, fill.market))
        user.wallet.traded(fill.value_micro)

    def _take_in(self, user: User, report: Report, now_ms: int) -> None:
        offset_ms = self.view.stamp_ms(now_ms) - now_ms
        rows = [self.deals.own_row(user, fill, offset_ms) for fill in report.fills]
        for fill, row in zip(report.fills, rows, strict=True):
            remember(user, fill, row)
        user.held |= {position.market.symbol for position in report.positions}
        user.held |= {symbol for symbol, _ in report.initial_ppm}
        user.live.add(report, now_ms)
        user.live.advance(now_ms)
        lag = self.view.faults.active(LIGHTER, "rest_lag", now_ms)
        user.mirror.add(report, now_ms + (int(lag.value) if lag else self.setup.rest_lag_ms))
        forced = [row for row in rows if row["type"] != "trade"]
        user.tell(
            Change(
                orders=tuple(order for order in report.orders if not hidden(order)),
                trades=tuple(rows),
                positions=report.positions,
                payments=report.payments,
                liquidated=tuple(forced),
            )
        )
        self._sequencer.arrived(user, report)

    def _recorded(self, user: User, record: Record) -> None:
        """A transaction was accepted, or its fate is known."""
        user.tell(Change(records=(self.transaction_row(record, self.view.world.now_ms),)))


def parsed_batch(types: str, infos: str) -> list[tuple[int, bytes]]:
    """A batch's two texts: a JSON list of types, and one of JSON texts. Raises RefusedError."""
    try:
        numbers = msgspec.json.decode(types, type=list[int])
        texts = msgspec.json.decode(infos, type=list[str])
    except msgspec.DecodeError as error:
        raise RefusedError(21501, str(error)) from error
    if len(numbers) != len(texts) or not numbers:
        raise RefusedError(21513)
    return [(number, text.encode()) for number, text in zip(numbers, texts, strict=True)]
