"""The venue's refusals: codes with their documented texts ("Data structures, constants and errors", mid 2026)."""

from __future__ import annotations

from twinleg_sims.lighter import wire
from twinleg_sims.protocol import HttpReply

INVALID_PARAM = 20001

TEXTS = {
    21100: "account not found",
    21104: "invalid nonce",
    21105: "batch transaction nonce is not increasing",
    21108: "invalid PublicKey,please run changePubKey",
    21109: "api key not found",
    21110: "invalid api key index",
    21112: "account is in liquidation",
    21113: "invalid initial margin fraction",
    21120: "invalid signature",
    21121: "all transactions in the batch must have use same account and apikey",
    21126: "Account with zero collateral can't change PublicKey",
    21500: "transaction not found",
    21501: "invalid tx info",
    21504: "fail to l1 signature",
    21505: "unsupported tx type",
    21506: "too many pending txs. Please try again later",
    21508: "account is below initial margin, can't execute transaction",
    21513: "TxInfos and TxTypes should have the same length",
    21514: "maximum 50 transactions allowed per batch",
    21515: "transaction is not allowed",
    21600: "given order is not an active limit order",
    21602: "invalid market index",
    21605: "invalid market status",
    21613: "invalid margin mode",
    21614: "no position found",
    21618: "invalid order type for market",
    21701: "invalid base amount",
    21702: "invalid price",
    21703: "invalid isAsk",
    21704: "invalid OrderType",
    21705: "invalid OrderTimeInForce",
    21706: "invalid order base or quote amount",
    21710: "unsupported order type",
    21711: "invalid expiry",
    21713: "invalid cancel all time in force",
    21714: "invalid cancel all time",
    21717: "maximum active limit order count reached",
    21718: "maximum active limit order count per market reached",
    21719: "maximum pending order count reached",
    21720: "maximum pending order count per market reached",
    21727: "invalid client order index",
    21728: "client order index already exists",
    21729: "invalid order trigger price",
    21732: "reduce only increases position",
    21733: "order price flagged as an accidental price",
    21734: "limit order price is too far from the mark price",
    21735: "SL/TP order price is too far from the trigger price",
    21739: "not enough margin to create the order",
    21740: "invalid reduce only mode",
    21741: "invalid grouping type",
    21742: "invalid order group size",
    21743: "invalid order info",
    23000: "Too Many Requests!",
    29404: "not found",
    29500: "internal server error",
    61001: "api token expiry is before minimum allowed expiry of 1 day",
    61002: "api token expiry is after maximum allowed expiry of 10 years",
    61003: "maximum number of 10 api tokens for the account exceeded",
    61004: "custom scopes for api tokens are not supported yet",
    61005: "api token not found or does not belong to this account",
    61006: "api token has already been revoked",
    61007: "api token name cannot be empty",
    61008: "api token name cannot exceed 50 characters",
    62002: "invalid tier",
    62003: "account already part of requested tier",
    62004: "account has open positions",
    62005: "account has open orders",
    62006: "too frequent tier change request",
}
_STATUS = {23000: 429, 29404: 404, 29500: 503}
"""Every other refusal is an HTTP 400."""


class RefusedError(Exception):
    """A refusal with the venue's code; `detail` is added to its text."""

    def __init__(self, code: int, detail: str = "") -> None:
        text = TEXTS.get(code, "invalid param")
        self.code = code
        self.message = f"{text}: {detail}" if detail else text
        super().__init__(f"{code} {self.message}")

    @property
    def reply(self) -> HttpReply:
        """As an HTTP answer."""
        return HttpReply(_STATUS.get(self.code, 400), wire.error(self.code, self.message))


def parameter(name: str) -> RefusedError:
    """A query or form the venue does not understand."""
    refused = RefusedError(INVALID_PARAM)
    refused.message = f"invalid param : {name}"
    return refused
