"""vectorbt on a case of bench_ledger, in whichever environment has it: `python vectorbt_peer.py CASE.npz`."""

import json
import sys
import time

import numpy as np
import vectorbt as vbt

case = np.load(sys.argv[1])


def run() -> object:
    """One simulation on shared cash."""
    return vbt.Portfolio.from_signals(
        case["close"], case["entries"], case["exits"], price=case["open"], size=0.01, size_type="percent",
        group_by=True, cash_sharing=True, init_cash=1e6, fees=1e-4, freq="1min",
    )  # fmt: skip


final = float(run().value().iloc[-1])
taken = []
for _ in range(4):
    begun = time.process_time()
    run().value()
    taken.append(time.process_time() - begun)
print(json.dumps({"final": final, "cpu": min(taken)}))
