"""usearch by itself: operations from a file, one batch after another, and what they took.

Nothing of the harness is used: an index and a dict an agent, in loops. Run as a script with the
file, which is MessagePack: batches of a kind and of (agent, state id, packed state) triples.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import msgspec
from usearch.index import Index

from memory_core import StateEncoder

DIMENSION, K = 64, 5


def main(path: str) -> None:
    """Print CPU and time of all, the median time of an operation by kind, and what was found."""
    batches = msgspec.msgpack.decode(Path(path).read_bytes())
    encode = StateEncoder(DIMENSION).encode_packed
    encode([batches[0][1][0][2]])  # what is loaded at the first use is not part of the first batch
    Index(ndim=DIMENSION, metric="cos", dtype="f32")
    indexes: dict[str, Index] = {}
    memories: dict[str, list[tuple[str, bytes]]] = {}
    keys: dict[tuple[str, str], int] = {}
    took_s: dict[str, list[float]] = {"store": [], "retrieve": [], "search": []}
    operations_done = found = hits = 0
    start, cpu_s = time.perf_counter(), time.process_time()
    for kind, operations in batches:
        begun = time.perf_counter()
        if kind == "store":
            vectors = encode([packed for _, _, packed in operations])
            for (agent, state, packed), vector in zip(operations, vectors, strict=True):
                if agent not in indexes:
                    indexes[agent] = Index(ndim=DIMENSION, metric="cos", dtype="f32")
                    memories[agent] = []
                keys[agent, state] = len(memories[agent])
                indexes[agent].add(keys[agent, state], vector, threads=1)
                memories[agent].append((state, packed))
        elif kind == "retrieve":
            found += len([memories[agent][keys[agent, state]][1] for agent, state, _ in operations])
        else:
            vectors = encode([packed for _, _, packed in operations])
            for (agent, _, _), vector in zip(operations, vectors, strict=True):
                near = indexes[agent].search(vector, K, threads=1)
                pairs = zip(near.keys.tolist(), near.distances.tolist(), strict=True)
                hits += len([(*memories[agent][key], 1 - off) for key, off in pairs])
        took_s[kind].append((time.perf_counter() - begun) / len(operations))
        operations_done += len(operations)
    told = {"cpu_s": time.process_time() - cpu_s, "operations": operations_done}
    told |= {"elapsed_s": time.perf_counter() - start, "found": found, "hits": hits}
    told |= {f"{kind}_p50_s": median(all_s) for kind, all_s in took_s.items()}
    sys.stdout.write(json.dumps(told) + "\n")


main(sys.argv[1])
