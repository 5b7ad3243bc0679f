"""A client of the live page's server that sends what it likes, and reads a stream as it wants."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from email.message import Message
from urllib.parse import urlsplit

from tests.live.live_pages import SeenPage

__all__ = ["BOUND_S", "Client", "Stream"]

BOUND_S = 60.0
Answer = tuple[int, Message, bytes]


class Client:
    """Sends bytes to a server and reads what it answers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path
        self.netloc = parts.netloc

    def connect(self) -> socket.socket:
        """A connection that has asked for nothing."""
        return socket.create_connection((self.host, self.port), timeout=BOUND_S)

    def ask(
        self,
        path: str = "",
        method: str = "GET",
        headers: Mapping[str, str | None] | None = None,
        *,
        whole_path: str | None = None,
    ) -> Answer:
        """The status, headers and body of an answer; headers of one's own take others' place."""
        sent = {"Host": self.netloc, **(headers or {})}
        lines = [f"{method} {whole_path or self.path + path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sent.items() if value is not None]
        lines += ["Connection: close", "", ""]
        return self.send("\r\n".join(lines).encode(), method)

    def send(self, request: bytes, method: str = "GET") -> Answer:
        """Send these bytes as a request; the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status, answer.headers, answer.read()

    def stream(self) -> Stream:
        """A page's stream of events, from its state on."""
        return Stream(self)


class Stream:
    """A page's stream of events that is read in the test's own time."""

    def __init__(self, client: Client) -> None:
        self._connection = client.connect()
        request = f"GET {client.path}events HTTP/1.1\r\nHost: {client.netloc}\r\n\r\n"
        self._connection.sendall(request.encode())
        self.answer = http.client.HTTPResponse(self._connection)
        self.answer.begin()
        self.page = SeenPage()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave, as a page that is closed."""
        self.answer.close()
        self._connection.close()

    def until(self, *names: str) -> SeenPage:
        """Read until a message of one of these names has come."""
        before = len(self.page.names)
        while not set(names) & set(self.page.names[before:]):
            block = b""
            while not block.endswith(b"\n\n"):
                line = self.answer.readline()
                assert line, "the stream ended"
                block += line
            self.page.see(block)
        return self.page

    def rest(self) -> SeenPage:
        """Read to the stream's end."""
        self.page.see(self.answer.read())
        return self.page
