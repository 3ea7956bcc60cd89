from __future__ import annotations

import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollout import Recorder
from rollout.web import Viewer, _connections, make_viewer
from rollout.web._cancel import IS_CANCELLED, RequestCancelledError
from rollout.web._connections import THREADS_MAX, Connection
from rollout.web._context import STREAMS_MAX
from rollout.web._server import _HandlerServer
from tests.cli.conftest import Running
from tests.rollouts import ID, message, put, seed_session
from tests.web.conftest import LIMIT, Client
from tests.web.streams import Stream

pytestmark = pytest.mark.promise("viewer")


class BlockingApp:
    """
    A WSGI application that answers when it is released, and records the requested paths. ``/cancel`` ends when the
    request is cancelled, as pages do; ``/endless`` never stops sending; ``/at-once`` answers at once.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.requested: list[str] = []
        self.ended: list[str] = []
        self._entered = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.requested.append(path)
        self._entered.release()
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/endless":
            return self._endless()
        if path == "/cancel":
            while not environ[IS_CANCELLED]():
                self.release.wait(0.01)
            self.ended.append(path)
            raise RequestCancelledError
        if path != "/at-once":
            assert self.release.wait(LIMIT)
        self.ended.append(path)
        return [b"answer"]

    def _endless(self) -> Iterator[bytes]:
        try:
            while not self.release.is_set():
                yield b"x" * 100_000
        finally:
            self.ended.append("/endless")

    def wait_for(self, count: int) -> None:
        """
        Wait until *count* further requests have reached the application.
        """
        for _ in range(count):
            assert self._entered.acquire(timeout=LIMIT)


@pytest.fixture
def app() -> BlockingApp:
    return BlockingApp()


@pytest.fixture
def viewer(app: BlockingApp) -> Iterator[Viewer]:
    with Viewer(app, host="127.0.0.1", port=0, path="/") as viewer:
        yield viewer
        app.release.set()


def request_bytes(ask: Client, path: str = "/", method: str = "GET", *more: str) -> bytes:
    lines = [f"{method} /{ask.token}{path} HTTP/1.1", f"Host: {ask.authority}", *more, "", ""]
    return "\r\n".join(lines).encode()


def send(ask: Client, content: bytes) -> socket.socket:
    connection = socket.create_connection((ask.host, ask.port), timeout=LIMIT)
    connection.sendall(content)
    return connection


def receive_all(connection: socket.socket) -> bytes:
    with connection:
        answer = b""
        # A reset is also an end: the viewer had not read all bytes that were sent.
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return answer


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def open_many(ask: Client, count: int, content: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(send(ask, content)) for _ in range(count)]


def test_a_waiting_request_is_not_answered_after_its_client_has_gone(
    ask: Client, app: BlockingApp, viewer: Viewer, figure: Callable[[str], None]
) -> None:
    with open_many(ask, THREADS_MAX, request_bytes(ask, "/hold")):
        app.wait_for(THREADS_MAX)
        with open_many(ask, 40, request_bytes(ask, "/abandoned")):
            wait_until(lambda: len(viewer._connections._waiting) == 40)
        wait_until(lambda: not viewer._connections._waiting)

        app.release.set()
        answer = receive_all(send(ask, request_bytes(ask, "/last")))

    assert answer.endswith(b"6\r\nanswer\r\n0\r\n\r\n")
    assert sorted(set(app.requested)) == ["/hold", "/last"]
    figure("0 of 40 abandoned requests answered")


def test_a_running_request_is_cancelled_when_its_client_goes(ask: Client, app: BlockingApp) -> None:
    with send(ask, request_bytes(ask, "/cancel")):
        app.wait_for(1)
    wait_until(lambda: app.ended == ["/cancel"])

    assert not app.release.is_set()


def test_a_client_that_resets_its_connection_counts_as_gone(ask: Client, app: BlockingApp) -> None:
    connection = send(ask, request_bytes(ask, "/cancel"))
    app.wait_for(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    wait_until(lambda: app.ended == ["/cancel"])


def test_requests_beyond_the_limit_are_refused_with_a_reason(ask: Client, app: BlockingApp, viewer: Viewer) -> None:
    all_ = THREADS_MAX + _connections._WAITING_MAX
    with open_many(ask, all_, request_bytes(ask, "/hold")):
        app.wait_for(THREADS_MAX)
        wait_until(lambda: len(viewer._connections._waiting) == _connections._WAITING_MAX)

        refused = ask("/more")
        app.release.set()
        app.wait_for(_connections._WAITING_MAX)

    assert refused.status == 503
    assert refused.headers["Retry-After"] == "2"
    assert "default-src 'none'" in refused.headers["Content-Security-Policy"]
    assert refused.text == "The viewer answers 6 requests and 64 more wait. Try again in a moment.\n"
    assert app.requested == ["/hold"] * all_


def test_a_request_is_refused_if_no_thread_can_start(ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    assert ask("/at-once").status == 503


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_connections_with_incomplete_requests_do_not_block_other_clients(ask: Client, content: bytes) -> None:
    with open_many(ask, 3 * _connections._READING_MAX, content) as silent:
        assert ask("/at-once").status == 200
        # The oldest connections were closed.
        assert silent[0].recv(1) == b""


def test_a_request_sent_byte_by_byte_ends_after_the_time_limit(ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connections, "_HEAD_TIMEOUT", 0.3)
    with send(ask, b"GET") as slow, pytest.raises(ConnectionError):
        while True:
            slow.sendall(b"x")
            time.sleep(0.01)


def test_an_endless_request_is_refused(ask: Client) -> None:
    with socket.create_connection((ask.host, ask.port), timeout=LIMIT) as endless:
        endless.sendall(b"x" * _connections._HEAD_MAX + b"x")

        assert endless.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_request_in_two_pieces_is_answered(ask: Client) -> None:
    whole = request_bytes(ask, "/at-once")
    for cut in (-1, -2, -3, 9):
        connection = send(ask, whole[:cut])
        connection.sendall(whole[cut:])

        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


def test_a_missing_body_is_not_awaited(ask: Client) -> None:
    post = send(ask, request_bytes(ask, "/", "POST", "Content-Length: 1000000"))

    assert receive_all(post).startswith(b"HTTP/1.1 405 ")


def test_a_body_is_ignored_and_a_large_one_ends_the_request(
    ask: Client, app: BlockingApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections, "_BODY_MAX", 100)
    small = send(ask, request_bytes(ask, "/hold"))
    app.wait_for(1)
    small.sendall(b"x" * 50)
    large = send(ask, request_bytes(ask, "/cancel"))
    app.wait_for(1)
    large.sendall(b"x" * 1000)
    wait_until(lambda: app.ended == ["/cancel"])
    large.close()

    app.release.set()

    assert receive_all(small).startswith(b"HTTP/1.1 200 ")


def test_clients_that_do_not_receive_their_answers_do_not_block_other_clients(
    ask: Client, app: BlockingApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections, "_SEND_PATIENCE", 0.2)
    with open_many(ask, THREADS_MAX, request_bytes(ask, "/endless")):
        app.wait_for(THREADS_MAX)

        assert ask("/at-once").status == 200
    assert not app.release.is_set()


def test_a_slow_client_that_continues_to_receive_is_not_dropped() -> None:
    ours, theirs = socket.socketpair()
    got = bytearray()

    def read_slowly() -> None:
        while part := theirs.recv(65536):
            got.extend(part)
            time.sleep(0.02)

    with ours, theirs:
        # All bytes together take over a second.
        ours.settimeout(0.5)
        reader = threading.Thread(target=read_slowly)
        reader.start()
        connection = Connection(ours)
        connection.send(b"x" * 5_000_000)
        ours.shutdown(socket.SHUT_WR)
        reader.join(30)

    assert len(got) == 5_000_000
    assert connection.sending_since is None


def test_an_invalid_url_ends_only_its_own_connection(ask: Client, caplog: pytest.LogCaptureFixture) -> None:
    request = f"GET http://[ HTTP/1.1\r\nHost: {ask.authority}\r\n\r\n"

    assert receive_all(send(ask, request.encode())) == b""
    assert ask("/at-once").status == 200
    assert "ValueError" in caplog.text


def test_a_connection_closed_before_its_request_is_read_is_not_answered(viewer: Viewer, app: BlockingApp) -> None:
    with socket.socket() as unconnected:
        viewer._answer(Connection(unconnected))

    assert app.requested == []


def test_a_viewer_without_descriptors_continues_when_descriptors_are_free(
    app: BlockingApp, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    ask = Client(viewer.url)
    connection = send(ask, request_bytes(ask, "/at-once"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        viewer.start()
        wait_until(lambda: "cannot be accepted" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    answer = receive_all(connection)
    viewer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert caplog.text.count("cannot be accepted") == 1


def test_the_lack_of_descriptors_is_logged_once(viewer: Viewer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        viewer._connections._handle_shortage(OSError("no descriptors"))

    assert caplog.text.count("cannot be accepted: no descriptors") == 1


def test_a_viewer_closes_during_a_step_that_cannot_be_interrupted(app: BlockingApp) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    viewer.start()
    ask = Client(viewer.url)
    waiting = [send(ask, request_bytes(ask, "/hold")) for _ in range(2 * THREADS_MAX)]
    app.wait_for(THREADS_MAX)

    viewer.close()

    assert app.ended == []
    assert [receive_all(connection) for connection in waiting] == [b""] * len(waiting)
    app.release.set()
    wait_until(lambda: len(app.ended) == THREADS_MAX)
    assert len(app.requested) == THREADS_MAX


def test_a_viewer_closes_while_requests_wait_and_heads_are_incomplete(app: BlockingApp) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    ask = Client(viewer.url)
    viewer.start()
    with open_many(ask, THREADS_MAX + 5, request_bytes(ask, "/cancel")), open_many(ask, 5, b"GET"):
        app.wait_for(THREADS_MAX)
        wait_until(lambda: len(viewer._connections._waiting) == 5)

        viewer.close()

    wait_until(lambda: app.ended == ["/cancel"] * THREADS_MAX)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_the_exception_of_a_cancelled_request_is_not_logged(
    is_cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    connection: Any = SimpleNamespace(is_cancelled=is_cancelled)

    _HandlerServer(BlockingApp(), ("127.0.0.1", 1), connection).log("error", "it failed: %s", "why")

    assert ["it failed: why" in record.message for record in caplog.records] == [True] * (not is_cancelled)


class TestPages:
    """
    Connections of a viewer with its real pages.
    """

    @pytest.fixture
    def viewer(self, home: Path) -> Iterator[Viewer]:
        home.mkdir(exist_ok=True)
        with make_viewer(home) as viewer:
            yield viewer

    def test_streams_beyond_the_limit_are_refused_and_pages_are_not(
        self, ask: Client, home: Path, figure: Callable[[str], None]
    ) -> None:
        put(home, seed_session("q"))
        with ExitStack() as stack:
            for _ in range(STREAMS_MAX):
                stack.enter_context(Stream(ask, f"/s/{ID}/events")).read_until("answer to q")

            refused = ask(f"/s/{ID}/events")
            page = ask(f"/s/{ID}")
        wait_until(lambda: ask(f"/s/{ID}/events", "HEAD").status == 200)

        assert refused.status == 503
        assert refused.headers["Retry-After"] == "5"
        assert refused.text == "16 pages already follow a session. Close one, or try again later.\n"
        assert page.status == 200
        figure("16 streams at a time, the next is refused with 503")

    @pytest.mark.parametrize(
        "page",
        [
            *("stats", f"s/{ID}", "search?q=hello"),
            *(pytest.param(f"s/{ID}/{part}", marks=pytest.mark.slow) for part in ("stats", "export/html")),
        ],
    )
    def test_ctrl_c_ends_the_viewer_at_once_after_abandoned_requests(self, home: Path, page: str) -> None:
        put(home, [*seed_session("hello"), *(message("assistant", f"{n} hello") for n in range(2000))])
        running, ask = start_viewer("view", "--no-browser")
        with open_many(ask, 60, request_bytes(ask, f"/{page}")):
            pass

        running.process.send_signal(signal.SIGINT)

        # Before cancellation, it took 26 s after requests for /stats.
        assert running.process.wait(8) == 130
        assert "Traceback" not in running.end().err

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_the_viewer_at_once_with_every_kind_of_request_open(
        self, home: Path, number: signal.Signals, status: int
    ) -> None:
        with Recorder(home=home, cwd=home) as recorder:
            recorder.user_message("a question")
            recorder.flush()
            running, ask = start_viewer("view", "--no-browser")
            with ExitStack() as stack:
                for path in ("/stats", f"/s/{recorder.session_id}/events", f"/s/{recorder.session_id}/stats"):
                    stack.enter_context(open_many(ask, 10, request_bytes(ask, path)))
                stack.enter_context(open_many(ask, 100, b"GET"))

                running.process.send_signal(number)

                code = running.process.wait(8)
        err = running.end().err
        assert (code, "Traceback" in err) == (status, False), err


def start_viewer(*args: str) -> tuple[Running, Client]:
    running = Running(*args)
    assert running.process.stdout is not None
    return running, Client(running.process.stdout.readline().strip())
