"""The socket that something live is served on, and the names by which it is known."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from harness.errors import UsageError, quoted
from harness.live.access import LOOPBACK_NAMES

__all__ = ["LOOPBACK", "Listening", "listen"]

LOOPBACK = "127.0.0.1"
_HOST_OPTION, _PORT_OPTION = "--web-host", "--web-port"
_BACKLOG = 128
# What the system holds for who reads slowly; connections have it of the socket they come by.
_SEND_BUFFER_BYTES = 256 * 1024
_PORT_MAX = 65_535
# An address of documentation: nothing is sent there, it only says which way would be taken.
_ELSEWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, kw_only=True)
class Listening:
    """A socket that listens.

    Attributes:
        socket: is the caller's to close.
        port: of it.
        host: as it stands in an address that leads here.
        names: by which it may be asked for, in lower case.
        any_address: whether it listens on all of the machine's addresses.
    """

    socket: socket.socket
    port: int
    host: str
    names: frozenset[str]
    any_address: bool


def listen(host: str, port: int) -> Listening:
    """Listen on a port of a name or address of this machine; 0 is a free one.

    Raises:
        UsageError: names the option that is wrong, or the port that cannot be had.
    """
    if not 0 <= port <= _PORT_MAX:
        raise UsageError(
            _PORT_OPTION, f"must be from 0 (a free one) to {_PORT_MAX:,}, not {quoted(port)}"
        )
    family, address = _resolved(host)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise _refused(error, host, port) from None
    any_address = ipaddress.ip_address(address).is_unspecified
    shown = _outward(family) if any_address else host
    names = {_bracketed(name).lower() for name in (host, address, shown)}
    if any_address:
        names.add(socket.gethostname().lower())
    return Listening(
        socket=made,
        port=made.getsockname()[1],
        host=_bracketed(shown),
        names=frozenset(names | set(LOOPBACK_NAMES)),
        any_address=any_address,
    )


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    """The first address of a name."""
    try:
        found = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE if not host else 0
        )
    except (OSError, UnicodeError):
        found = []
    for family, _, _, _, address in found if host else []:
        if family in {socket.AF_INET, socket.AF_INET6}:
            return family, str(address[0])
    raise UsageError(
        _HOST_OPTION,
        f"{quoted(host)} is no name or address of this machine; 0.0.0.0 stands for all",
    )


def _refused(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            _PORT_OPTION, f"port {port} of {host} is taken; name another one, or 0 for a free one"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UsageError(
            _PORT_OPTION, f"port {port} is not for every user; name one from 1024 on, or 0"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            _HOST_OPTION, f"{host} is no address of this machine; 0.0.0.0 stands for all"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UsageError(_HOST_OPTION, f"{host} cannot be listened on ({reason}); name another one")


def _outward(family: socket.AddressFamily) -> str:
    """The address by which others probably reach this machine, else its name."""
    if family == socket.AF_INET:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
    return socket.gethostname()


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name
