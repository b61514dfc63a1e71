"""The small numbers that stand for words in the ledger's arrays, and the words; a word's place is its number."""

from __future__ import annotations

# What a request asks for.
KINDS = ("target", "enter", "exit", "order", "cancel")
TARGET, ENTER, EXIT, ORDER, CANCEL = range(5)

# What an amount counts; -1 where a request leaves the size to the config. CLOSE: whatever is held when it fills.
UNITS = ("units", "notional", "equity_frac", "cash_frac", "close")
UNIT, NOTIONAL, EQUITY_FRAC, CASH_FRAC, CLOSE = range(5)
CONFIGURED = -1

ORDER_TYPES = (
    *("market", "limit", "stop", "stop_limit", "limit_if_touched", "trailing_stop", "market_on_open"),
    *("market_on_close", "timer"),
)
MARKET, LIMIT, STOP, STOP_LIMIT, TOUCHED, TRAILING, ON_OPEN, ON_CLOSE, TIMER = range(9)

TIFS = ("gtc", "day", "ioc", "fok", "gtd")
GTC, DAY, IOC, FOK, GTD = range(5)

ROLES = (
    *("entry", "exit", "target", "order", "stop_loss", "take_profit", "trail", "timer", "flat_by", "margin_call"),
    *("daily_loss", "end"),
)
(
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_TARGET,
    ROLE_ORDER,
    ROLE_STOP_LOSS,
    ROLE_TAKE_PROFIT,
    ROLE_TRAIL,
    ROLE_TIMER,
    ROLE_FLAT_BY,
    ROLE_MARGIN_CALL,
    ROLE_DAILY_LOSS,
    ROLE_END,
) = range(12)

EVENTS = (
    *("submitted", "accepted", "triggered", "partially_filled", "filled", "cancelled", "expired", "rejected"),
    "replaced",
)
SUBMITTED, ACCEPTED, TRIGGERED, PARTIALLY_FILLED, FILLED, CANCELLED, EXPIRED, REJECTED, REPLACED = range(9)

# Why an order ended otherwise than by filling; -1 where it has none.
REASONS = (
    *("price", "quantity", "restricted", "no_bar", "quality", "not_selected", "halted", "flat_by"),
    *("max_open_positions", "max_per_trade", "max_per_symbol", "max_gross", "max_buying_power", "cash", "replaced"),
    *("exit", "asked", "leg", "oco", "flat", "missing", "stale", "volume", "ioc", "fok", "day", "gtd"),
    *("margin_call", "daily_loss", "end"),
)
(
    BAD_PRICE,
    BAD_QUANTITY,
    RESTRICTED,
    NO_BAR,
    BAD_QUALITY,
    NOT_SELECTED,
    IS_HALTED,
    PAST_FLAT_BY,
    OVER_POSITIONS,
    OVER_TRADE,
    OVER_SYMBOL,
    OVER_GROSS,
    OVER_BUYING_POWER,
    NO_CASH,
    WAS_REPLACED,
    WAS_EXITED,
    WAS_ASKED,
    LEG_FILLED,
    OCO_FILLED,
    IS_FLAT,
    BAR_MISSING,
    IS_STALE,
    NO_VOLUME,
    WAS_IOC,
    WAS_FOK,
    DAY_OVER,
    TIME_OVER,
    BY_MARGIN_CALL,
    BY_DAILY_LOSS,
    BY_END,
) = range(30)
NO_REASON = -1

# Which rule made a fill's reference price.
FILL_RULES = (
    *("market_open", "market_close", "market_mid", "market_on_open", "market_on_close", "same_close"),
    *("limit", "limit_at_open", "limit_at_high", "limit_at_market"),
    *("stop", "stop_at_open", "stop_at_close", "stop_at_market"),
    *("stop_limit", "touched", "touched_at_open", "remainder", "flat_by", "end_close", "end_open"),
)
(
    AT_MARKET_OPEN,
    AT_MARKET_CLOSE,
    AT_MARKET_MID,
    AT_ON_OPEN,
    AT_ON_CLOSE,
    AT_SAME_CLOSE,
    AT_LIMIT,
    AT_LIMIT_OPEN,
    AT_LIMIT_HIGH,
    AT_LIMIT_MARKET,
    AT_STOP,
    AT_STOP_OPEN,
    AT_STOP_CLOSE,
    AT_STOP_MARKET,
    AT_STOP_LIMIT,
    AT_TOUCHED,
    AT_TOUCHED_OPEN,
    AT_REMAINDER,
    AT_FLAT_BY,
    AT_END_CLOSE,
    AT_END_OPEN,
) = range(21)

# Bits of Clock.flags: the label is its session's first, its last, at or past the flat_by cut-off.
FIRST_LABEL, LAST_LABEL, PAST_CUTOFF = 1, 2, 4
# Bits of Market.flags: the expected bar before it, after it, is missing; it is not to be trusted; its
# quality, or that no scanner has selected its symbol, lets nothing be entered on it.
GAP_BEFORE, GAP_AFTER, DEFECTIVE, NO_ENTRY, UNSELECTED = 1, 2, 4, 8, 16
# Bits of Requests.fractions: which of stop_loss, take_profit, leg_trail and trail are fractions, not prices.
STOP_LOSS_FRAC, TAKE_PROFIT_FRAC, LEG_TRAIL_FRAC, TRAIL_FRAC = 1, 2, 4, 8

# The rule vector's words, in the order of their numbers.
FILL_BARS = ("next", "same")
MARKET_PRICES = ("open", "close", "mid")
INTRABARS = ("stop_first", "target_first", "ohlc", "olhc", "adaptive", "queue")
LIMIT_TOUCHES = ("at", "through", "close", "fill_price")
LIMIT_PRICES = ("limit_or_open", "limit", "limit_or_high", "market")
STOP_TOUCHES = ("at", "through", "close")
STOP_PRICES = ("stop_or_open", "stop", "stop_or_close", "market")
TRAIL_REFERENCES = ("high", "close")
ARMS = ("next_bar", "entry_bar")
MISSING_BARS = ("wait", "cancel")
VOLUME_RESTS = ("carry", "cancel", "next_tick")
SPREADS_ON = ("both", "entry")
SIZED_AT = ("decision", "fill")
CASH_RULES = ("none", "at_fill", "reduce", "at_submit")
ON_OPPOSITES = ("reverse", "close", "ignore")
LOT_RULES = ("average", "fifo")
DAILY_LOSS_ACTIONS = ("halt", "flatten")
ENDS = ("mark", "close", "open")
