"""The run's settings: strict, every error at once, each with its key, what was found and what would do."""

import os

# Before pydantic: looking for its plugins reads the metadata of every installed package, 0.1 s that we have no use for.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from backtester.config.loading import load, resolved_toml
from backtester.config.whole import Config

__all__ = ["Config", "load", "resolved_toml"]
