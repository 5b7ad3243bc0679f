"""Who may ask what a run serves for anything: pure, from a request's headers and path.

A page of another site that is open in the same browser can send requests here, and by a name that
it lets resolve to this address (DNS rebinding) even read the answers. So the name that is asked
for has to be one of ours, and a request that says where it comes from has to come from our page.
A link from elsewhere may be followed: what it opens cannot be read from where it was. Beyond
loopback anyone can send anything; there the address has a token in it that cannot be guessed.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

__all__ = ["LOOPBACK_NAMES", "Access", "Refusal"]

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80
_OWN_SITE = ("same-origin", "none")


@dataclass(frozen=True)
class Refusal:
    """Why a request is turned away: the HTTP status, and a sentence."""

    status: int
    sentence: str


class Access:
    """What a server on one port may be asked by.

    Args:
        port: of the server.
        names: by which it is known, in lower case, IPv6 addresses in brackets.
        any_address: whether an IP address of any value is such a name too: of a server on all
            of a machine's addresses. (Rebinding takes a name.)
        token: has to be the first part of each path; None for no token.
    """

    def __init__(
        self, port: int, names: Collection[str], *, any_address: bool, token: str | None
    ) -> None:
        self._port = port
        self._names = frozenset(names)
        self._any_address = any_address
        self._token = None if token is None else token.encode()

    def refusal(self, sent: Callable[[str], Sequence[str]]) -> Refusal | None:
        """Why a request is turned away, or None.

        Args:
            sent: the values of a header of the request, by its name; none where it has none.
        """
        hosts = sent("Host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return Refusal(
                421,
                "This server is asked for under a name or port that is not its own. Open the "
                "address that the harness printed; a port that is forwarded has to be the same "
                "on both sides.",
            )
        own = f"http://{hosts[0]}".lower()
        if any(origin.lower() != own for origin in sent("Origin")):
            return Refusal(403, "A page from elsewhere may not ask this server for anything.")
        is_elsewhere = any(site not in _OWN_SITE for site in sent("Sec-Fetch-Site"))
        if is_elsewhere and not _opens_a_page(sent):
            return Refusal(403, "A page from elsewhere may not ask this server for anything.")
        return None

    def own_path(self, path: str) -> str | None:
        """A path without its leading slash and token; None where the token is not the right one."""
        if self._token is None:
            return path.removeprefix("/")
        _, _, rest = path.partition("/")
        given, slash, rest = rest.partition("/")
        is_right = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)
        return rest if is_right and slash else None

    def _is_ours(self, host: str) -> bool:
        name, port = _name_and_port(host.lower())
        if port != str(self._port):
            return False
        return name in self._names or (self._any_address and _is_address(name))


def _opens_a_page(sent: Callable[[str], Sequence[str]]) -> bool:
    """Whether a browser asks in order to show the answer in a window of its own."""
    modes, destinations = sent("Sec-Fetch-Mode"), sent("Sec-Fetch-Dest")
    return list(modes) == ["navigate"] and list(destinations) == ["document"]


def _name_and_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        return host, str(_HTTP_PORT)
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
