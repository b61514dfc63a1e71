"""A vectorized columnar batch backtester for intraday sessions."""

__version__ = "0.1.0"
