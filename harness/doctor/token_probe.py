"""A process that asks a Ray cluster who is there, with or without this machine's token.

    python token_probe.py HOST:PORT

Exit codes: 0 it answered; 3 it turned us away for want of the right token; another one, it could
not be asked. A process of its own, for Ray decides once a process whether it presents a token
(``RAY_AUTH_MODE``).
"""

from __future__ import annotations

import sys

__all__ = ["TURNED_AWAY"]

TURNED_AWAY = 3
_TIMEOUT_S = 5


def _main(address: str) -> int:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    try:
        GcsClient(address=address).get_all_node_info(timeout=_TIMEOUT_S)
    except AuthenticationError:
        return TURNED_AWAY
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
