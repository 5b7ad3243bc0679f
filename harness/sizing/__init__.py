"""How large a cluster has to be, from measured runs.

`reading` reads what was measured, `demands` fits what operations cost, `cluster` sizes by laws of
queues, `prediction` has the p99 from a simulation (`harness.simulation`).
"""

__all__: list[str] = []
