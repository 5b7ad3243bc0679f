"""The live page's server as the network sees it: what it serves, and what it turns away."""

from __future__ import annotations

import http.client
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from harness.errors import RunFailedError, UsageError
from harness.live.web import server
from harness.live.web import web_view as web_view_module
from harness.live.web.feed import Feed
from harness.live.web.page_files import page_files
from harness.live.web.pages import PAGES_MAX
from harness.live.web.server import CONNECTIONS_MAX
from harness.live.web.web_view import web_view
from tests.harness.driving import poll
from tests.live.live_client import BOUND_S, Client
from tests.live.live_pages import counted, progress_of


@pytest.fixture
def view(tmp_path):
    with web_view("run", tmp_path / "run") as found:
        yield found


@pytest.fixture
def client(view) -> Client:
    return Client(view.address)


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "harness-web"]


def test_the_page_and_its_files_are_served(client):
    """The page is at the address itself and its files beside it, with their types."""
    for name, file in page_files().items():
        status, headers, body = client.ask(name)
        assert (status, body) == (200, file.body)
        assert headers["Content-Type"] == file.content_type


def test_every_answer_has_headers_that_keep_it_in_its_place(client):
    """The policy allows what the page has, nothing is cached or guessed at, whatever the answer."""
    for path in ("", "nothing", "report"):
        _, headers, _ = client.ask(path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "aiohttp" not in headers["Server"]
        assert headers["Set-Cookie"] is None
        assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_loopback_has_three_names(client, name):
    """The server answers to the names of loopback, in any case."""
    assert client.ask(headers={"Host": f"{name}:{client.port}"})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.example.org:{port}",
        "127.0.0.2:{port}",
        "localhost.:{port}",
        "",
        ":{port}",
        "[::1]",
        "127.0.0.1:{port}@example.org",
    ],
)
def test_a_foreign_host_is_refused(client, host):
    """A request for another name or port is turned away with a sentence, also for the stream."""
    for path in ("", "events"):
        status, _, body = client.ask(path, headers={"Host": host.format(port=client.port)})
        assert status == 421
        assert b"Open the address that the harness printed" in body


def test_a_request_without_a_host_or_with_two_is_refused(client):
    """Exactly one name has to be asked for."""
    assert client.ask(headers={"Host": None})[0] in {400, 421}
    twice = f"GET / HTTP/1.1\r\nHost: {client.netloc}\r\nHost: example.org\r\n\r\n"
    assert client.send(twice.encode())[0] in {400, 421}
    absolute = f"GET http://example.org/ HTTP/1.1\r\nHost: {client.netloc}\r\n\r\n"
    assert client.send(absolute.encode())[0] in {200, 400, 421}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    ],
)
def test_a_page_from_elsewhere_is_refused(client, headers):
    """Requests that say they come from another page get nothing, on any path."""
    sent = {name: value.format(port=client.port) for name, value in headers.items()}
    for path in ("", "events", "live.js", "report"):
        assert client.ask(path, headers=sent)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    ],
)
def test_our_own_page_and_a_link_to_it_are_answered(client, headers):
    """What our page asks for is given, and so is the page to who follows a link to it."""
    sent = {name: value.format(port=client.port) for name, value in headers.items()}
    assert client.ask(headers=sent)[0] == 200


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(client, method):
    """Only GET is answered."""
    for path in ("", "events"):
        status, headers, _ = client.ask(path, method=method, headers={"Content-Length": "0"})
        assert status == 405
        assert headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/assets/live.js",
        "//live.js/",
        "/live.js/..",
        "/live.html",
        "/server.py",
        "/%00",
        "/\\..\\setup.cfg",
        "/events/",
        "/report",
        "/favicon.ico",
    ],
)
def test_there_is_nothing_beside_the_files(client, path):
    """Paths that are none of the page's files are not found; none reaches the file system."""
    assert client.ask(whole_path=path)[0] in {400, 404}


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: " + "x" * 100_000 + "\r\n\r\n",
        "GET /" + "x" * 100_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\n" + "X-Many: y\r\n" * 100_000 + "\r\n",
        "\x00\x01\x02\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_turned_away_and_the_server_goes_on(client, request_text, capfd):
    """Huge or malformed requests get an error or are cut off, and nothing is said of it."""
    with client.connect() as connection:
        try:
            connection.sendall(request_text.format(host=client.netloc).encode("latin-1"))
            answer = connection.recv(64)
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert client.ask()[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_host_of_ones_own_needs_the_token(tmp_path):
    """With --web-host, every path is not found without the whole token before it."""
    with web_view("run", tmp_path, host="127.0.0.1") as view:
        client = Client(view.address)
        token = client.path.strip("/")
        assert len(token) >= 43  # 32 bytes
        assert client.ask()[0] == client.ask("live.js")[0] == 200
        wrong = [*(f"/{one}" for one in ("", token[:-1], token + "x", token.swapcase(), "x" * 43))]
        for start in wrong:
            for path in ("", "/", "/events", "/live.js", "/report", "/nothing"):
                answers = {client.ask(whole_path=f"{start}{path}".replace("//", "/") or "/")[::2]}
                assert [status for status, _ in answers] == [404]
                assert all(b"token" in body for _, body in answers)
        assert client.ask(headers={"Host": f"example.org:{client.port}"})[0] == 421
        with client.stream() as stream:
            assert stream.until("state").state["command"] == "run"


def test_a_token_is_another_one_each_time(tmp_path):
    """Addresses with a token are not to be guessed from those of earlier runs."""
    found = set()
    for _ in range(3):
        with web_view("run", tmp_path, host="127.0.0.1") as view:
            found.add(urlsplit(view.address).path)
    assert len(found) == 3


def test_all_addresses_of_a_machine_answer_to_addresses(tmp_path):
    """On 0.0.0.0 any address is a name of the machine, a foreign name is not."""
    with web_view("run", tmp_path, host="0.0.0.0") as view:
        address = urlsplit(view.address)
        client = Client(f"http://127.0.0.1:{address.port}{address.path}")
        for host, status in {
            "127.0.0.1": 200,
            "10.1.2.3": 200,
            "[fd00::1]": 200,
            socket.gethostname(): 200,
            "example.org": 421,
        }.items():
            assert client.ask(headers={"Host": f"{host}:{client.port}"})[0] == status


def test_a_page_sees_a_run_from_beginning_to_end(view, client, tmp_path):
    """State, points and the end come in the stream, and then the report is there to be fetched."""
    view.begin({"agents": 5}, 5)
    assert client.ask("report")[0] == 404
    report = b"<!doctype html><title>report</title>" + b"x" * 3_000_000
    (tmp_path / "report.html").write_bytes(report)
    with client.stream() as stream:
        assert stream.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.until("state").state["agents"] == 5
        view.note("hello\r\n\r\nevent: end")
        assert stream.until("mark").state["marks"][0]["text"] == "hello\r\n\r\nevent: end"
        view.update(progress_of(1.0, counted(100)))
        view.end("complete", {"operations": 100, "search": {"p99_ms": 1.5}})
        assert stream.until("summary").state["summary"] == {
            "operations": 100,
            "search.p99_ms": 1.5,
        }
        fetched = []

        def fetch():
            assert stream.until("end").end["report"] is True
            fetched.append(client.ask("report"))
            stream.close()

        fetcher = threading.Thread(target=fetch)
        fetcher.start()
        view.finish("complete", {"operations": 100}, tmp_path)
        fetcher.join(BOUND_S)
    ((status, headers, body),) = fetched
    assert (status, body) == (200, report)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'unsafe-inline'" in headers["Content-Security-Policy"]
    assert "connect-src" not in headers["Content-Security-Policy"]


def test_the_end_waits_for_every_page_to_fetch_the_report(view, client, tmp_path):
    """Two pages are connected: the run's last word comes back after both have the report."""
    (tmp_path / "report.html").write_text("the report")
    with client.stream() as first, client.stream() as second:
        first.until("state")
        second.until("state")
        ended = threading.Event()

        def finish():
            view.finish("complete", {}, tmp_path)
            ended.set()

        finisher = threading.Thread(target=finish)
        finisher.start()
        for stream in (first, second):
            stream.until("end")
            assert not ended.is_set()
            assert client.ask("report")[2] == b"the report"
            stream.close()
        finisher.join(BOUND_S)
        assert ended.is_set()


def test_a_page_that_leaves_its_stream_for_the_report_is_waited_for(
    view, client, tmp_path, monkeypatch
):
    """A page that closes its stream first and asks then still finds the report."""
    monkeypatch.setattr(server, "_COMMENT_S", 10 * BOUND_S)  # so that it is seen to leave
    monkeypatch.setattr(server, "_TURN_S", 2 * BOUND_S)
    monkeypatch.setattr(web_view_module, "FAREWELL_S", 3 * BOUND_S)
    (tmp_path / "report.html").write_text("the report")
    stream = client.stream()
    stream.until("state")
    finisher = threading.Thread(target=view.finish, args=("complete", {}, tmp_path))
    finisher.start()
    stream.until("end")
    stream.close()
    poll(lambda: not len(view._server._pages), "the page's leaving", BOUND_S)
    finisher.join(0.1)
    assert finisher.is_alive()
    assert client.ask("report")[2] == b"the report"
    finisher.join(BOUND_S)
    assert not finisher.is_alive()


@pytest.mark.slow
def test_a_report_that_is_read_slowly_arrives_whole(tmp_path, monkeypatch):
    """The server goes when the last of the report has left it, however much is still on its way."""
    monkeypatch.setattr(server, "_TURN_S", 10 * BOUND_S)
    monkeypatch.setattr(web_view_module, "FAREWELL_S", 10 * BOUND_S)
    report = bytes(range(256)) * 4_000
    (tmp_path / "report.html").write_bytes(report)
    gone, read = threading.Event(), bytearray()

    def read_slowly(client):
        with client.connect() as connection, client.stream() as stream:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            joined.set()
            stream.until("end")
            connection.sendall(f"GET /report HTTP/1.1\r\nHost: {client.netloc}\r\n\r\n".encode())
            stream.close()
            while piece := connection.recv(16_384):
                read.extend(piece)
                gone.wait(0.02)

    joined = threading.Event()
    with web_view("run", tmp_path) as view:
        reader = threading.Thread(target=read_slowly, args=(Client(view.address),))
        reader.start()
        assert joined.wait(BOUND_S)
        view.finish("complete", {}, tmp_path)
    gone.set()
    reader.join(BOUND_S)
    assert read.partition(b"\r\n\r\n")[2] == report


def test_what_happens_after_the_last_word_is_not_told(tmp_path):
    """An error between the last word and the exit takes nothing back."""

    def goes_wrong():
        with web_view("run", tmp_path) as view:
            streams.append(Client(view.address).stream())
            streams[0].until("state")
            view.finish("complete", {}, tmp_path)
            raise RunFailedError("Too late.")

    streams = []
    with pytest.raises(RunFailedError):
        goes_wrong()
    with streams[0] as stream:
        page = stream.rest()
    assert page.names.count("end") == 1
    assert page.end["status"] == "complete"


def test_nobody_is_waited_for_where_nobody_watches(view, tmp_path):
    """Without a page, and after a page has gone, the end comes at once."""
    (tmp_path / "report.html").write_text("the report")
    began = time.monotonic()
    view.finish("complete", {}, tmp_path)
    assert time.monotonic() - began < 5.0


def test_a_page_may_come_back(view, client):
    """A stream that broke off is taken up with the whole past, as a browser does by itself."""
    with client.stream() as stream:
        stream.until("state")
    view.note("meanwhile")
    with client.stream() as stream:
        assert stream.until("state").state["marks"][0]["text"] == "meanwhile"


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (RunFailedError("No shard came up."), "failed", "No shard came up."),
        (KeyboardInterrupt(), "interrupted", "The command was interrupted."),
    ],
)
def test_a_run_that_breaks_off_says_so(tmp_path, error, status, problem):
    """Pages are told that a run failed, and why, or that it was interrupted."""
    streams = []

    def broken_off():
        with web_view("run", tmp_path) as view:
            streams.append(Client(view.address).stream())
            streams[0].until("state")
            raise error

    with pytest.raises(type(error)):
        broken_off()
    with streams[0] as stream:
        assert stream.rest().end == {
            "status": status,
            "summary": {},
            "report": False,
            "problem": problem,
        }
    assert threads() == []


_ENDING = """
import sys
from pathlib import Path
from harness.live.web import web_view as module
from harness.live.web.web_view import web_view
module.FAREWELL_S = 600.0
with web_view("run", Path(sys.argv[1])) as view:
    print(view.address, flush=True)
    sys.stdin.readline()
    view.finish("complete", {}, Path(sys.argv[1]))
    print("went on")
"""


@pytest.mark.slow
def test_ctrl_c_at_the_end_ends_the_wait_and_not_the_command(tmp_path):
    """While a page still has the report to fetch, Ctrl-C ends the wait; the command goes on."""
    (tmp_path / "report.html").write_text("the report")
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDING, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, Client(process.stdout.readline().strip()).stream() as stream:
        stream.until("state")
        process.stdin.write("\n")
        process.stdin.flush()
        stream.until("end")
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "went on\n"
        assert process.wait(BOUND_S) == 0


def test_nothing_is_left_behind(tmp_path):
    """After the view neither thread nor socket is there, and telling it something is harmless."""
    with web_view("run", tmp_path) as view:
        client = Client(view.address)
        idle = client.connect()
        stream = client.stream()
        stream.until("state")
        assert threads() == ["harness-web"]
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        client.connect()
    view.note("late")
    view.update(progress_of(1.0))
    view.end("complete", {})
    view.finish("complete", {}, tmp_path)
    view.close()
    idle.close()
    stream.close()
    again = web_view("run", tmp_path, port=client.port)
    with again as view:
        assert Client(view.address).ask()[0] == 200


def test_an_error_of_the_page_is_none_of_the_run(tmp_path, monkeypatch, caplog):
    """What fails while the last is told is logged: the run goes on, and no thread is left."""

    def failing(*_, **__):
        raise ValueError("no last word")

    async def failing_close(one):
        await close(one)
        raise ValueError("no end")

    close = server.LiveServer.close
    monkeypatch.setattr(Feed, "finish", failing)
    monkeypatch.setattr(server.LiveServer, "close", failing_close)
    (tmp_path / "report.html").write_text("the report")
    log = logging.getLogger(web_view_module.__name__)
    log.addHandler(caplog.handler)  # it tells no other logger
    try:
        with web_view("run", tmp_path) as view:
            view.finish("complete", {}, tmp_path)
    finally:
        log.removeHandler(caplog.handler)
    assert "no last word" in caplog.text
    assert "no end" in caplog.text
    assert threads() == []


def test_a_port_that_is_taken_is_told_by_its_option(tmp_path):
    """The sentence names --web-port, and no thread is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as refused, web_view("run", tmp_path, port=port):
            pass
    assert refused.value.field == "--web-port"
    assert f"port {port} of 127.0.0.1 is taken" in refused.value.problem
    assert threads() == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"port": -1}, "--web-port"),
        ({"port": 65_536}, "--web-port"),
        ({"port": 10**30}, "--web-port"),
        ({"host": ""}, "--web-host"),
        ({"host": "no such host"}, "--web-host"),
        ({"host": "x" * 300}, "--web-host"),
        ({"host": "192.0.2.77"}, "--web-host"),
        ({"host": "127.0.0.1:80"}, "--web-host"),
        ({"host": "\0"}, "--web-host"),
    ],
)
def test_what_cannot_be_listened_on_is_wrong_usage(tmp_path, options, field):
    """Ports out of range and hosts that are not this machine are refused by their option."""
    with pytest.raises(UsageError) as refused, web_view("run", tmp_path, **options):
        pass
    assert refused.value.field == field
    assert threads() == []


@pytest.mark.slow
def test_pages_and_connections_are_bounded(tmp_path, monkeypatch):
    """One page too many is told so, one connection too many is closed, and later all is well."""
    monkeypatch.setattr(server, "_SILENT_S", 10 * BOUND_S)
    with web_view("run", tmp_path) as view:
        _fill(view, Client(view.address))


def _fill(view, client) -> None:
    with ExitStack() as stack:
        for _ in range(PAGES_MAX):
            stack.enter_context(client.stream()).until("state")
        status, _, body = client.ask("events")
        assert status == 503
        assert b"close one of them" in body
        assert client.ask()[0] == 200
    with ExitStack() as stack:
        ends = []
        for _ in range(CONNECTIONS_MAX + 20):
            connection = stack.enter_context(client.connect())
            connection.settimeout(0.0)
            ends.append(connection)
        poll(lambda: sum(map(_is_closed, ends)) >= 20, "20 closed connections", BOUND_S)
        assert len(view._server._http.connections) <= CONNECTIONS_MAX
    poll(lambda: _answers(client), "an answer after all have gone", BOUND_S)
    with client.stream() as stream:
        stream.until("state")


def test_a_connection_that_asks_for_nothing_is_closed(monkeypatch, tmp_path):
    """Who connects and sends half a request, or nothing, is not kept."""
    monkeypatch.setattr(server, "_SILENT_S", 0.2)
    with web_view("run", tmp_path) as view:
        client = Client(view.address)
        with client.connect() as idle, client.connect() as half:
            with suppress(ConnectionError):
                half.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert _is_closed(idle)
            assert _is_closed(half)


def _answers(client: Client) -> bool:
    """Whether there is room for one more; those that have just gone may still take it."""
    with suppress(ConnectionError, http.client.HTTPException):
        return client.ask()[0] == 200
    return False


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.slow
def test_a_page_that_does_not_read_is_dropped_and_others_are_not(view, client):
    """One page takes nothing off the wire: it loses its connection; another sees every mark."""
    with client.connect() as slow, client.stream() as quick:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.sendall(f"GET /events HTTP/1.1\r\nHost: {client.netloc}\r\n\r\n".encode())
        quick.until("state")
        sent = 0
        text = "x" * 1_900
        until = time.monotonic() + BOUND_S
        pages = view._server._pages
        while len(pages) != 1 and time.monotonic() < until:
            view.note(f"{sent} {text}")
            quick.until("mark", "state")
            sent += 1
        assert len(pages) == 1
