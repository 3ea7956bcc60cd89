from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
from pathlib import Path

import pytest

from rollout.web import Viewer, _listening, make_viewer
from rollout.web._listening import authority_of
from tests.rollouts import ID, put, seed_session
from tests.web.conftest import LIMIT, Answer, Client

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGES = (
    "/", "/search?q=hello", "/stats", f"/s/{ID}", f"/s/{ID}/raw/1", f"/s/{ID}/stats", f"/s/{ID}/export/html",
    "/page.css", "/page.js", "/static/viewer.css", "/static/viewer.js", "/nothing", f"/s/{ID}?line=99",
)  # fmt: skip


@pytest.fixture(autouse=True)
def session(home: Path) -> Path:
    return put(home, seed_session("hello"))


def assert_security_headers(answer: Answer) -> None:
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
    assert answer.headers["Server"] == "rollout"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_the_security_headers(ask: Client, path: str) -> None:
    answer = ask(path)

    assert_security_headers(answer)
    is_static = path.startswith("/static/")
    assert answer.headers["Cache-Control"] == ("no-cache" if is_static else "no-store")


def test_refusals_have_the_security_headers_and_no_details(ask: Client) -> None:
    refused = [
        ask.request("/"),
        ask("/", "POST"),
        ask("/", Host="evil.example"),
        ask("/", Origin="http://evil.example"),
    ]

    for answer in refused:
        assert_security_headers(answer)
    assert [answer.text for answer in refused] == ["Not found\n", "Method not allowed\n", "Forbidden\n", "Forbidden\n"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", "127.0.0.1:{port}.evil", "", None],
)
def test_another_name_for_this_machine_is_forbidden(ask: Client, host: str | None) -> None:
    # DNS rebinding: the name evil.example resolves to 127.0.0.1 after its page was loaded.
    answer = ask("/", Host=host and host.format(port=ask.port))

    assert answer.status == 403


def test_two_hosts_are_forbidden(ask: Client) -> None:
    target = f"GET /{ask.token}/ HTTP/1.1\r\nHost: {ask.authority}\r\nHost: evil.example\r\n\r\n"

    assert b" 403 " in send_raw(ask, target.encode())


def test_an_absolute_url_is_not_found(ask: Client) -> None:
    assert ask.request(f"http://evil.example/{ask.token}/").status == 403
    assert ask.request(f"{ask.origin}/{ask.token}/").status == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_another_origin_is_forbidden(ask: Client, origin: str) -> None:
    assert ask("/", Origin=origin.format(port=ask.port)).status == 403


def test_the_own_origin_is_answered(ask: Client) -> None:
    assert ask("/", Origin=ask.origin).status == 200


@pytest.mark.parametrize(
    ("fetch", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        # A link, for example in a notebook. Its author knows the token.
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
    ],
)
def test_requests_from_another_site_are_forbidden(ask: Client, fetch: dict[str, str], status: int) -> None:
    assert ask("/", **fetch).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"])
@pytest.mark.parametrize("path", ["/", f"/s/{ID}", "/nothing"])
def test_only_get_and_head_are_allowed(ask: Client, method: str, path: str) -> None:
    answer = ask(path, method)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_returns_only_headers(ask: Client) -> None:
    for path in ("/", f"/s/{ID}", f"/s/{ID}/events"):
        answer = ask(path, "HEAD")

        assert (answer.status, answer.body) == (200, b"")
        assert_security_headers(answer)


def test_only_the_exact_token_is_accepted(ask: Client) -> None:
    others = [
        "", ask.token[:-1], ask.token + "A", ask.token.swapcase(), "x", f"x/{ask.token}",
        f"%{ord(ask.token[0]):x}{ask.token[1:]}",
    ]  # fmt: skip

    assert {ask.request(f"/{token}/").status for token in others} == {404}
    assert b" 404 " in send_raw(ask, f"GET /{ask.token[:-1]}é/ HTTP/1.1\r\nHost: {ask.authority}\r\n\r\n".encode())
    assert len(ask.token) == 43


def test_each_viewer_has_a_token_of_its_own(home: Path) -> None:
    with make_viewer(home) as one, make_viewer(home) as other:
        assert Client(one.url).token != Client(other.url).token


@pytest.mark.parametrize(
    "path",
    [
        "/../", "/..", "/./", "//", "/%2e%2e/", "/..%2f..%2fetc/passwd", "/static/../../_app.py",
        "/static/..%2f_app.py", "/static/%2e%2e/_app.py", "/static/....//_app.py", "/static//etc/passwd",
        "/static/viewer.css%00", "/s/%2fetc%2fpasswd",
        "/s/../../etc/passwd", "/s//etc/passwd", "/s/...", f"/s/{ID}%2f..", f"/s/{ID}\\..", "/s/file", "/s/@last",
        f"/s/{ID[:8]}", f"/s/{ID}.jsonl", f"/s/{ID}_{ID}", f"/s/{ID}/raw/../1", f"/s/{ID}/raw/-1", f"/s/{ID}/raw/1.5",
        f"/s/{ID}/raw/99", f"/s/{ID}/output/1", f"/s/{ID}/export/exe", "/static/nothing.js", "/static/", "/static",
        f"/s/{ID}/at/-1", f"/s/{ID}?page=9", f"/s/{ID}?page=x&line=x", f"/s/{ID}?turn=99",
    ],
)  # fmt: skip
def test_invalid_paths_are_not_found(ask: Client, path: str) -> None:
    answer = ask(path)

    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


def test_a_symlink_instead_of_a_session_is_not_followed(ask: Client, home: Path, tmp_path: Path, session: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    session.rename(secret)
    session.symlink_to(secret)

    assert ask(f"/s/{ID}").status == 404
    assert ID not in ask("/").text


def test_a_symlink_instead_of_a_day_folder_is_not_followed(
    ask: Client, home: Path, tmp_path: Path, session: Path
) -> None:
    day = session.parent
    day.rename(tmp_path / "elsewhere")
    day.symlink_to(tmp_path / "elsewhere")

    assert ask(f"/s/{ID}").status == 404


def send_raw(ask: Client, request: bytes) -> bytes:
    with socket.create_connection((ask.host, ask.port), timeout=LIMIT) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", b"GET / HTTP/9.9", b"\x16\x03\x01", b"PUT /"])
def test_invalid_requests_get_no_answer(ask: Client, content: bytes) -> None:
    assert send_raw(ask, content + b"\r\n\r\n") == b""


@pytest.mark.parametrize(
    "content", [b"GET / HTTP/1.1\r\n" + b"X-Script: <script>\r\n" * 200, b"GET /" + b"<script>" * 9000 + b" HTTP/1.1"]
)
def test_a_request_that_is_too_large_is_refused_without_repeating_it(ask: Client, content: bytes) -> None:
    answer = send_raw(ask, content + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 4")
    assert b"nosniff" in answer
    assert b"default-src 'none'" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert b"<script>" not in answer


def network_address() -> str:
    """
    Return the address of this machine on the network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        found: str = probe.getsockname()[0]
    return found


def test_a_viewer_listens_only_on_loopback_by_default(viewer: Viewer, ask: Client) -> None:
    assert ask.host == "127.0.0.1"
    assert not viewer.is_public
    assert viewer.public_urls == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((network_address(), ask.port), timeout=LIMIT)


@pytest.mark.promise("viewer")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_a_viewer_of_all_addresses_requires_the_token_and_the_right_host_on_each(home: Path, host: str) -> None:
    own = network_address()
    with make_viewer(home, host=host) as viewer:
        inside, outside = Client(viewer.url), Client(viewer.public_urls[0])
        answers = [
            (name, connected.request(f"/{token}/", Host=name).status)
            for connected in (inside, outside)
            for token in (inside.token, "", "x")
            for name in ("evil.example", f"evil.example:{inside.port}", f"{host}:{inside.port}", f"{own}:1", own)
        ]
        accepted = [inside("/").status, outside("/").status, outside("/", Host=inside.authority).status]
        other = inside("/", Host=outside.authority).status
        refused = [asker.request(f"/{token}/").status for asker in (inside, outside) for token in ("", "x", "s")]
        origin = [outside("/", Origin=outside.origin).status, outside("/", Origin="http://evil.example").status]

    assert viewer.is_public
    assert outside.host == own
    assert {status for _, status in answers} == {403}
    # Requests through a forwarded port name the loopback address of the other machine.
    assert accepted == [200] * 3
    assert other == 403
    assert refused == [404] * 6
    assert origin == [200, 403]


def test_a_viewer_of_one_network_address_accepts_only_that_host(home: Path) -> None:
    own = network_address()
    with make_viewer(home, host=own) as viewer:
        ask = Client(viewer.url)
        statuses = [ask("/").status, ask("/", Host=f"127.0.0.1:{ask.port}").status, ask.request("/").status]

    assert viewer.is_public
    assert viewer.public_urls == (viewer.url,)
    assert statuses == [200, 403, 404]


def test_a_viewer_of_all_addresses_answers_over_ipv4_and_ipv6(home: Path) -> None:
    with make_viewer(home, host="::") as viewer:
        ask = Client(viewer.url)
        ask_ipv6 = Client(viewer.url.replace("127.0.0.1", "[::1]"))

        assert (ask("/").status, ask_ipv6("/").status) == (200, 200)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nowhere.invalid", "Name or service not known|not known|Temporary failure"),
        ("", "Name or service not known|not known"),
        ("203.0.113.7", "assign requested address"),
    ],
)
def test_a_host_that_is_not_of_this_machine_is_an_error_that_names_it(home: Path, host: str, reason: str) -> None:
    with pytest.raises(OSError, match=reason) as error:
        make_viewer(home, host=host)

    assert (host or "''") in error.value.filename


def test_an_invalid_host_name_is_an_error(home: Path) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        make_viewer(home, host="x" * 70)


def test_a_viewer_of_a_host_name_accepts_only_its_address(home: Path) -> None:
    with make_viewer(home, host="localhost") as viewer:
        ask = Client(viewer.url)

        assert ask("/").status == 200
        assert ask("/", Host=f"localhost:{ask.port}").status == 403


def test_port_80_is_omitted_from_the_authority() -> None:
    assert authority_of("127.0.0.1", 80) == "127.0.0.1"
    assert authority_of("::1", 80) == "[::1]"


def test_without_a_network_only_loopback_addresses_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # A socket cannot be connected to a broadcast address, just as to an address without a route.
    monkeypatch.setattr(_listening, "_OUTSIDE", {socket.AF_INET: "255.255.255.255"})

    assert _listening.reachable_hosts("0.0.0.0") == ["127.0.0.1"]  # noqa: S104


def test_a_viewer_listens_on_ipv6(home: Path) -> None:
    with make_viewer(home, host="::1") as viewer:
        ask = Client(viewer.url)

        assert ask.authority == f"[::1]:{ask.port}"
        assert ask("/").status == 200
        assert ask("/", Host=f"127.0.0.1:{ask.port}").status == 403


def test_a_port_in_use_is_an_error(ask: Client, home: Path) -> None:
    with pytest.raises(OSError, match="in use") as error:
        make_viewer(home, port=ask.port)

    assert error.value.filename == ask.authority


def test_requests_are_not_logged_and_logged_faults_are_escaped(
    ask: Client, session: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(path: Path) -> bool:
        raise KeyError("\x1b[31mred")

    ask("/")
    monkeypatch.setattr("rollout.web._context.Site.is_live", staticmethod(fail))
    answer = ask(f"/s/{ID}")

    assert answer.status == 500
    assert "fault in the viewer" in answer.text
    assert_security_headers(answer)
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == 1
    assert "KeyError" in logged[0]
    assert "\x1b" not in logged[0]
    out, err = capfd.readouterr()
    assert ask.token not in out + err + caplog.text


def test_a_fault_in_the_middle_of_an_answer_is_logged(
    ask: Client, session: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, turn: object) -> str:
        raise KeyError("\x1b[31mred")

    monkeypatch.setattr("rollout.export.html._renderer.Renderer.turn", fail)
    with pytest.raises(http.client.IncompleteRead):
        ask(f"/s/{ID}")

    assert "KeyError" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_silent_connection_does_not_delay_closing(home: Path) -> None:
    with make_viewer(home) as viewer:
        ask = Client(viewer.url)
        silent = socket.create_connection((ask.host, ask.port), timeout=LIMIT)
        assert ask("/").status == 200
    with silent:
        assert silent.recv(1) == b""


def test_a_viewer_that_was_never_served_closes(home: Path) -> None:
    viewer = make_viewer(home)

    viewer.close()

    assert [thread for thread in threading.enumerate() if "viewer" in thread.name] == []


def test_a_hidden_folder_is_not_readable_by_name(ask: Client, home: Path) -> None:
    os.makedirs(home / "sessions" / "..hidden", exist_ok=True)  # noqa: PTH103

    assert ask("/s/..hidden").status == 404
