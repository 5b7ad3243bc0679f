"""A discrete-event simulation of shards, pipelining clients and batches, by measured times."""

__all__: list[str] = []
