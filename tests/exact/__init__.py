"""A second ledger, in plain Python on fractions, from docs/execution.md alone; it shares no code with the package."""
