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
from rollout.web._server import _Host
from rollout.web._site import STREAMS_MAX
from tests.cli.conftest import Running
from tests.rollouts import ID, message, put, seed_session
from tests.web.conftest import LIMIT, Asker
from tests.web.test_live import Stream

pytestmark = pytest.mark.promise("viewer")


class Holding:
    """
    A WSGI application that answers when it is told to, and notes what it is asked for. For ``/cancel`` it answers
    once the request is cancelled, as pages do, for ``/endless`` it never stops sending, and for ``/at-once`` it waits
    for nothing.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []
        self.ended: list[str] = []
        self._entered = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.asked.append(path)
        self._entered.release()
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/endless":
            return self._endless()
        if path == "/cancel":
            while not environ[IS_CANCELLED]():
                self.go.wait(0.01)
            self.ended.append(path)
            raise RequestCancelledError
        if path != "/at-once":
            assert self.go.wait(LIMIT)
        self.ended.append(path)
        return [b"answer"]

    def _endless(self) -> Iterator[bytes]:
        try:
            while not self.go.is_set():
                yield b"x" * 100_000
        finally:
            self.ended.append("/endless")

    def wait_for(self, count: int) -> None:
        """
        Wait until so many requests more have reached the application.
        """
        for _ in range(count):
            assert self._entered.acquire(timeout=LIMIT)


@pytest.fixture
def app() -> Holding:
    return Holding()


@pytest.fixture
def viewer(app: Holding) -> Iterator[Viewer]:
    with Viewer(app, host="127.0.0.1", port=0, path="/") as viewer:
        yield viewer
        app.go.set()


def request_bytes(ask: Asker, path: str = "/", method: str = "GET", *more: str) -> bytes:
    lines = [f"{method} /{ask.token}{path} HTTP/1.1", f"Host: {ask.authority}", *more, "", ""]
    return "\r\n".join(lines).encode()


def sent(ask: Asker, content: bytes) -> socket.socket:
    connection = socket.create_connection((ask.host, ask.port), timeout=LIMIT)
    connection.sendall(content)
    return connection


def received(connection: socket.socket) -> bytes:
    with connection:
        answer = b""
        # A reset is an end, too: what was sent had not been read.
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return answer


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def many(ask: Asker, count: int, content: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(sent(ask, content)) for _ in range(count)]


def test_a_request_whose_client_goes_while_it_waits_is_never_answered(
    ask: Asker, app: Holding, viewer: Viewer, figure: Callable[[str], None]
) -> None:
    with many(ask, THREADS_MAX, request_bytes(ask, "/hold")):
        app.wait_for(THREADS_MAX)
        with many(ask, 40, request_bytes(ask, "/abandoned")):
            eventually(lambda: len(viewer._connections._waiting) == 40)
        eventually(lambda: not viewer._connections._waiting)

        app.go.set()
        answer = received(sent(ask, request_bytes(ask, "/last")))

    assert answer.endswith(b"6\r\nanswer\r\n0\r\n\r\n")
    assert sorted(set(app.asked)) == ["/hold", "/last"]
    figure("0 of 40 abandoned requests answered")


def test_a_request_whose_client_goes_while_it_is_answered_is_told(ask: Asker, app: Holding) -> None:
    with sent(ask, request_bytes(ask, "/cancel")):
        app.wait_for(1)
    eventually(lambda: app.ended == ["/cancel"])

    assert not app.go.is_set()


def test_a_client_that_resets_its_connection_counts_as_gone(ask: Asker, app: Holding) -> None:
    connection = sent(ask, request_bytes(ask, "/cancel"))
    app.wait_for(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    eventually(lambda: app.ended == ["/cancel"])


def test_more_requests_than_can_wait_are_refused_with_a_reason(ask: Asker, app: Holding, viewer: Viewer) -> None:
    all_ = THREADS_MAX + _connections._WAITING_MAX
    with many(ask, all_, request_bytes(ask, "/hold")):
        app.wait_for(THREADS_MAX)
        eventually(lambda: len(viewer._connections._waiting) == _connections._WAITING_MAX)

        refused = ask("/more")
        app.go.set()
        app.wait_for(_connections._WAITING_MAX)

    assert refused.status == 503
    assert refused.headers["Retry-After"] == "2"
    assert "default-src 'none'" in refused.headers["Content-Security-Policy"]
    assert refused.text == "The viewer answers 6 requests and 64 more wait: try again in a moment.\n"
    assert app.asked == ["/hold"] * all_


def test_a_request_for_which_there_is_no_thread_is_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    assert ask("/at-once").status == 503


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_connections_that_never_complete_a_request_do_not_keep_others_out(ask: Asker, said: bytes) -> None:
    with many(ask, 3 * _connections._READING_MAX, said) as silent:
        assert ask("/at-once").status == 200
        # The oldest have made way.
        assert silent[0].recv(1) == b""


def test_a_request_that_comes_byte_by_byte_ends_in_time(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connections, "_HEAD_TIMEOUT", 0.3)
    with sent(ask, b"GET") as slow, pytest.raises(ConnectionError):
        while True:
            slow.sendall(b"x")
            time.sleep(0.01)


def test_a_request_without_end_is_refused(ask: Asker) -> None:
    with socket.create_connection((ask.host, ask.port), timeout=LIMIT) as endless:
        endless.sendall(b"x" * _connections._HEAD_MAX + b"x")

        assert endless.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_request_in_two_pieces_is_answered(ask: Asker) -> None:
    whole = request_bytes(ask, "/at-once")
    for cut in (-1, -2, -3, 9):
        connection = sent(ask, whole[:cut])
        connection.sendall(whole[cut:])

        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_never_comes_is_not_waited_for(ask: Asker) -> None:
    post = sent(ask, request_bytes(ask, "/", "POST", "Content-Length: 1000000"))

    assert received(post).startswith(b"HTTP/1.1 405 ")


def test_a_body_is_ignored_and_a_large_one_ends_the_request(
    ask: Asker, app: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections, "_BODY_MAX", 100)
    small = sent(ask, request_bytes(ask, "/hold"))
    app.wait_for(1)
    small.sendall(b"x" * 50)
    large = sent(ask, request_bytes(ask, "/cancel"))
    app.wait_for(1)
    large.sendall(b"x" * 1000)
    eventually(lambda: app.ended == ["/cancel"])
    large.close()

    app.go.set()

    assert received(small).startswith(b"HTTP/1.1 200 ")


def test_clients_that_do_not_take_their_answers_do_not_keep_others_out(
    ask: Asker, app: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections, "_SEND_PATIENCE", 0.2)
    with many(ask, THREADS_MAX, request_bytes(ask, "/endless")):
        app.wait_for(THREADS_MAX)

        assert ask("/at-once").status == 200
    assert not app.go.is_set()


def test_a_slow_client_that_goes_on_receiving_is_not_dropped() -> None:
    ours, theirs = socket.socketpair()
    got = bytearray()

    def read_slowly() -> None:
        while part := theirs.recv(65536):
            got.extend(part)
            time.sleep(0.02)

    with ours, theirs:
        # The whole takes over a second.
        ours.settimeout(0.5)
        reader = threading.Thread(target=read_slowly)
        reader.start()
        connection = Connection(ours)
        connection.send(b"x" * 5_000_000)
        ours.shutdown(socket.SHUT_WR)
        reader.join(30)

    assert len(got) == 5_000_000
    assert connection.sending_since is None


def test_what_is_no_address_ends_its_connection_alone(ask: Asker, caplog: pytest.LogCaptureFixture) -> None:
    said = f"GET http://[ HTTP/1.1\r\nHost: {ask.authority}\r\n\r\n"

    assert received(sent(ask, said.encode())) == b""
    assert ask("/at-once").status == 200
    assert "ValueError" in caplog.text


def test_a_connection_that_is_gone_before_its_turn_is_not_answered(viewer: Viewer, app: Holding) -> None:
    with socket.socket() as unconnected:
        viewer._answer(Connection(unconnected))

    assert app.asked == []


def test_a_viewer_without_descriptors_goes_on_when_there_are_some(
    app: Holding, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    ask = Asker(viewer)
    connection = sent(ask, request_bytes(ask, "/at-once"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        viewer.start()
        eventually(lambda: "cannot be accepted" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    answer = received(connection)
    viewer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert caplog.text.count("cannot be accepted") == 1


def test_the_lack_of_descriptors_is_logged_once(viewer: Viewer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        viewer._connections._pause(OSError("no descriptors"))

    assert caplog.text.count("cannot be accepted: no descriptors") == 1


def test_a_viewer_closes_while_a_step_is_under_way_that_nothing_interrupts(app: Holding) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    viewer.start()
    ask = Asker(viewer)
    waiting = [sent(ask, request_bytes(ask, "/hold")) for _ in range(2 * THREADS_MAX)]
    app.wait_for(THREADS_MAX)

    viewer.close()

    assert app.ended == []
    assert [received(connection) for connection in waiting] == [b""] * len(waiting)
    app.go.set()
    eventually(lambda: len(app.ended) == THREADS_MAX)
    assert len(app.asked) == THREADS_MAX


def test_a_viewer_closes_while_requests_wait_and_heads_are_incomplete(app: Holding) -> None:
    viewer = Viewer(app, host="127.0.0.1", port=0, path="/")
    ask = Asker(viewer)
    viewer.start()
    with many(ask, THREADS_MAX + 5, request_bytes(ask, "/cancel")), many(ask, 5, b"GET"):
        app.wait_for(THREADS_MAX)
        eventually(lambda: len(viewer._connections._waiting) == 5)

        viewer.close()

    eventually(lambda: app.ended == ["/cancel"] * THREADS_MAX)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_what_a_cancelled_request_ends_with_is_no_error(is_cancelled: bool, caplog: pytest.LogCaptureFixture) -> None:
    connection: Any = SimpleNamespace(is_cancelled=is_cancelled)

    _Host(Holding(), ("127.0.0.1", 1), connection).log("error", "it failed: %s", "why")

    assert ["it failed: why" in record.message for record in caplog.records] == [True] * (not is_cancelled)


class TestOfSessions:
    """
    The whole viewer, with its pages.
    """

    @pytest.fixture
    def viewer(self, home: Path) -> Iterator[Viewer]:
        home.mkdir(exist_ok=True)
        with make_viewer(home) as viewer:
            yield viewer

    def test_more_streams_than_there_are_places_for_are_refused_and_pages_are_not(
        self, ask: Asker, home: Path, figure: Callable[[str], None]
    ) -> None:
        put(home, seed_session("q"))
        with ExitStack() as stack:
            for _ in range(STREAMS_MAX):
                stack.enter_context(Stream(ask, f"/s/{ID}/events")).until("answer to q")

            refused = ask(f"/s/{ID}/events")
            page = ask(f"/s/{ID}")
        eventually(lambda: ask(f"/s/{ID}/events", "HEAD").status == 200)

        assert refused.status == 503
        assert refused.headers["Retry-After"] == "5"
        assert refused.text == "16 pages follow sessions already: close one, or try again later.\n"
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
        running, ask = started("view", "--no-browser")
        with many(ask, 60, request_bytes(ask, f"/{page}")):
            pass

        running.process.send_signal(signal.SIGINT)

        # It took 26 s for those of /stats.
        assert running.process.wait(8) == 130
        assert "Traceback" not in running.end().err

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_the_viewer_at_once_whatever_is_under_way(
        self, home: Path, number: signal.Signals, status: int
    ) -> None:
        with Recorder(home=home, cwd=home) as recorder:
            recorder.user_message("a question")
            recorder.flush()
            running, ask = started("view", "--no-browser")
            with ExitStack() as stack:
                for path in ("/stats", f"/s/{recorder.session_id}/events", f"/s/{recorder.session_id}/stats"):
                    stack.enter_context(many(ask, 10, request_bytes(ask, path)))
                stack.enter_context(many(ask, 100, b"GET"))

                running.process.send_signal(number)

                code = running.process.wait(8)
        err = running.end().err
        assert (code, "Traceback" in err) == (status, False), err


def started(*args: str) -> tuple[Running, Asker]:
    running = Running(*args)
    assert running.process.stdout is not None
    return running, Asker.of(running.process.stdout.readline().strip())
