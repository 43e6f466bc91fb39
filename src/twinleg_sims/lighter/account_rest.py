"""REST for accounts: what they hold, their keys, tier and tokens. They show the mirror."""

from __future__ import annotations

from twinleg_sims.lighter import account_wire
from twinleg_sims.lighter.asked import Asked
from twinleg_sims.lighter.endpoints import OK, Endpoints
from twinleg_sims.lighter.errors import RefusedError, parameter
from twinleg_sims.lighter.private import Private
from twinleg_sims.lighter.tiers import CHANGE_EVERY_MS, TIERS
from twinleg_sims.lighter.users import User
from twinleg_sims.lighter.wire import Row

_METADATA = (
    "account_index", "name", "description", "can_invite", "referral_points_percentage", "created_at", "can_rfq",
    "can_rfq_market_ids", "metadata", "agent_enabled",
)  # fmt: skip


class AccountRest(Endpoints):
    """account, apikeys, limits, tier, tokens, and the empty histories of money in and out."""

    def __init__(self, private: Private) -> None:
        super().__init__(private)
        self.table = {
            "apikeys": ("GET", self._api_keys),
            "account": ("GET", self._account),
            "accountsByL1Address": ("GET", self._accounts_by_l1_address),
            "accountLimits": ("GET", self._account_limits),
            "accountMetadata": ("GET", self._account_metadata),
            "changeAccountTier": ("POST", self._change_account_tier),
            "tokens": ("GET", self._tokens),
            "tokens/create": ("POST", self._create_token),
            "tokens/revoke": ("POST", self._revoke_token),
            "deposit/history": ("GET", self._deposits),
            "withdraw/history": ("GET", self._withdraws),
            "transfer/history": ("GET", self._transfers),
            "transferFeeInfo": ("GET", self._transfer_fee),
        }

    def _api_keys(self, asked: Asked, _: int) -> Row:
        user = self._private.users.find(asked.number("account_index"))
        wanted = asked.number("api_key_index", 255, high=255)
        keys = [(number, key) for number, key in sorted(user.keys.items()) if wanted in (number, 255)]
        if not keys:
            raise RefusedError(21109)
        return OK | {"api_keys": [account_wire.api_key(user, number, key) for number, key in keys]}

    def _account(self, asked: Asked, now_ms: int) -> Row:
        by, value = asked.text("by"), asked.text("value")
        if by == "index":
            users = [self._private.users.find(asked.number("value"))]
        elif by == "l1_address":
            users = self._private.users.of_wallet(value)
        else:
            raise parameter("by")
        active_only = asked.optional("active_only") == "true"
        rows = [self._account_row(user, now_ms, active_only=active_only) for user in users]
        return OK | {"total": len(rows), "accounts": rows}

    def _account_row(self, user: User, now_ms: int, *, active_only: bool) -> Row:
        shown = user.mirror.positions if active_only else user.held
        markets = [market for market in self._view.listed(now_ms) if market.symbol in shown]
        return account_wire.account(user, self._rules, markets)

    def _accounts_by_l1_address(self, asked: Asked, _: int) -> Row:
        users = self._private.users.of_wallet(asked.text("l1_address"))
        rows = [account_wire.brief_account(user, self._figures(user)) for user in users]
        return OK | {"l1_address": users[0].wallet.address, "sub_accounts": rows}

    def _account_limits(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        return OK | {
            "max_llp_percentage": 25,
            "max_llp_amount": "0.000000",
            "user_tier": user.wallet.tier,
            "user_tier_name": user.wallet.tier.capitalize(),
            "user_tier_last_update": user.wallet.tier_changed_ms or 0,
            "can_create_public_pool": False,
            "current_maker_fee_tick": user.engine.tier.maker_ppm,
            "current_taker_fee_tick": user.engine.tier.taker_ppm,
            "effective_lit_stakes": "0.00000000",
            "leased_lit": "0.00000000",
            "bo_user_tier_name": "",
            "bo_fee_rate": 1,
        }

    def _account_metadata(self, asked: Asked, _: int) -> Row:
        if asked.text("by") != "index":
            raise parameter("by")
        user = self._private.users.find(asked.number("value"))
        row = account_wire.account(user, self._rules, [])
        return OK | {"account_metadatas": [{name: row[name] for name in _METADATA}]}

    def _change_account_tier(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        wallet, wanted = user.wallet, asked.text("new_tier")
        if wanted not in TIERS:
            raise RefusedError(62002)
        if wanted == wallet.tier:
            raise RefusedError(62003)
        if any(each.engine.positions for each in wallet.users):
            raise RefusedError(62004)
        if any(each.engine.orders for each in wallet.users):
            raise RefusedError(62005)
        if wallet.tier_changed_ms is not None and now_ms - wallet.tier_changed_ms < CHANGE_EVERY_MS:
            raise RefusedError(62006)
        wallet.set_tier(wanted)
        wallet.tier_changed_ms = now_ms
        return OK | {"message": f"tier is {wanted}"}

    def _tokens(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        return OK | {"api_tokens": [account_wire.api_token(token) for token in user.tokens]}

    def _create_token(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        if asked.optional("scopes") not in (None, "", "read.*"):
            raise RefusedError(61004)
        kin = asked.text("sub_account_access") == "true"
        made = self._private.tokens.create(
            user, asked.text("name"), asked.number("expiry"), self._view.stamp_ms(now_ms), sub_accounts=kin
        )
        return OK | account_wire.api_token(made)

    def _revoke_token(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        token = self._private.tokens.revoke(user, asked.number("token_id"))
        return OK | {"token_id": token.id, "revoked": True}

    def _deposits(self, asked: Asked, now_ms: int) -> Row:
        self._user_of(asked, now_ms)
        return OK | {"deposits": [], "cursor": ""}

    def _withdraws(self, asked: Asked, now_ms: int) -> Row:
        self._user_of(asked, now_ms)
        return OK | {"withdraws": [], "cursor": ""}

    def _transfers(self, asked: Asked, now_ms: int) -> Row:
        self._user_of(asked, now_ms)
        return OK | {"transfers": [], "cursor": ""}

    def _transfer_fee(self, asked: Asked, now_ms: int) -> Row:
        self._user_of(asked, now_ms)
        return OK | {"transfer_fee_usdc": 3_000_000}
