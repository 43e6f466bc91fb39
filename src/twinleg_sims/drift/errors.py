"""How the program refuses: Anchor's codes and the program's own."""

from __future__ import annotations

FALLBACK, NOT_DESERIALIZED, HAS_ONE, SEEDS, OWNER, NOT_SIGNER, NOT_INITIALIZED = 101, 102, 2001, 2006, 3007, 3010, 3012
INSUFFICIENT_DEPOSIT, INSUFFICIENT_COLLATERAL, NO_POSITION, EXCHANGE_PAUSED = 6002, 6003, 6010, 6024
ORACLE_NOT_FOUND, INVALID_ORDER, INVALID_IOC, POST_ONLY_FAILED = 6036, 6042, 6050, 6057
NO_ORDER, TOO_SMALL, TOO_MANY_ORDERS, NO_SUCH_ORDER, ORDER_NOT_OPEN, ID_IN_USE = 6058, 6059, 6060, 6061, 6062, 6071
PERP_MARKET_NOT_FOUND, SPOT_MARKET_NOT_FOUND, PLACE_PAUSED, FILL_PAUSED = 6078, 6087, 6147, 6148
SPOT_ORDERS_DISABLED, FUNDING_NOT_UPDATED, IMPOSSIBLE_FILL, TAKE_CONDITION = 6212, 6251, 6252, 6289

NAMES = {
    FALLBACK: ("InstructionFallbackNotFound", "Fallback functions are not supported"),
    NOT_DESERIALIZED: ("InstructionDidNotDeserialize", "The program could not deserialize the given instruction"),
    HAS_ONE: ("ConstraintHasOne", "A has one constraint was violated"),
    SEEDS: ("ConstraintSeeds", "A seeds constraint was violated"),
    OWNER: ("AccountOwnedByWrongProgram", "The given account is owned by a different program than expected"),
    NOT_SIGNER: ("AccountNotSigner", "The given account did not sign"),
    NOT_INITIALIZED: ("AccountNotInitialized", "The program expected this account to be already initialized"),
    INSUFFICIENT_DEPOSIT: ("InsufficientDeposit", "Insufficient deposit"),
    INSUFFICIENT_COLLATERAL: ("InsufficientCollateral", "Insufficient collateral"),
    NO_POSITION: ("UserHasNoPositionInMarket", "User Has No Position In Market"),
    EXCHANGE_PAUSED: ("ExchangePaused", "Exchange is paused"),
    ORACLE_NOT_FOUND: ("OracleNotFound", "OracleNotFound"),
    INVALID_ORDER: ("InvalidOrder", "InvalidOrder"),
    INVALID_IOC: ("InvalidOrderIOC", "InvalidOrderIOC"),
    POST_ONLY_FAILED: ("PlacePostOnlyLimitFailure", "Failed to Place Post-Only Limit Order"),
    NO_ORDER: ("UserHasNoOrder", "User has no order"),
    TOO_SMALL: ("OrderAmountTooSmall", "Order Amount Too Small"),
    TOO_MANY_ORDERS: ("MaxNumberOfOrders", "Max number of orders taken"),
    NO_SUCH_ORDER: ("OrderDoesNotExist", "Order does not exist"),
    ORDER_NOT_OPEN: ("OrderNotOpen", "Order not open"),
    ID_IN_USE: ("UserOrderIdAlreadyInUse", "User Order Id Already In Use"),
    PERP_MARKET_NOT_FOUND: ("PerpMarketNotFound", "PerpMarketNotFound"),
    SPOT_MARKET_NOT_FOUND: ("SpotMarketNotFound", "SpotMarketNotFound"),
    PLACE_PAUSED: ("MarketPlaceOrderPaused", "the Market status doesnt allow placing orders"),
    FILL_PAUSED: ("MarketFillOrderPaused", "the Market status doesnt allow filling orders"),
    SPOT_ORDERS_DISABLED: ("SpotOrdersDisabled", "SpotOrdersDisabled"),
    FUNDING_NOT_UPDATED: ("FundingWasNotUpdated", "FundingWasNotUpdated"),
    IMPOSSIBLE_FILL: ("ImpossibleFill", "ImpossibleFill"),
    TAKE_CONDITION: ("PlaceAndTakeOrderSuccessConditionFailed", "PlaceAndTakeOrderSuccessConditionFailed"),
}


class ProgramError(Exception):
    """An instruction failed with a custom code; nothing of its transaction stays."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def log(self) -> str:
        """The line that Anchor writes."""
        name, words = NAMES[self.code]
        return f"AnchorError occurred. Error Code: {name}. Error Number: {self.code}. Error Message: {words}."
