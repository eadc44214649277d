"""Who gets in: addresses, other sites' pages, passwords; and what the browser is told to refuse."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from animation_tools import write_tiny
from web_tools import LONGEST_S, Client, running

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.web import WebRequest
from mcnet_cli.web.api import PAGE_FILES


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("stored"), weights=tiny) as client:
        yield client


def test_the_page_loads_from_this_server_alone_and_no_other_frames_it(client: Client) -> None:
    answer = client.ask("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    for words in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"):
        assert words in policy
    assert "unsafe" not in policy
    assert (answer.headers["referrer-policy"], answer.headers["x-content-type-options"]) == (
        "no-referrer",
        "nosniff",
    )
    assert "server" not in answer.headers
    assert not any(name.startswith("access-control") for name in answer.headers)
    for name in PAGE_FILES:
        file = client.ask("GET", f"/{name}")
        assert file.status == 200
        assert b"//fonts" not in file.body
        assert b"https://" not in file.body


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "x@127.0.0.1",
        "",
        "[::1",
        "localhost.evil",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(client: Client, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/options"), ("POST", "/sessions")):
        answer = client.ask(method, path, headers={"Host": host})
        assert answer.status in (400, 421)  # 400: no such host can exist


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:9", "[::1]:7860", "192.168.0.7", socket.gethostname()]
)
def test_addresses_and_this_machines_names_are_let_in(client: Client, host: str) -> None:
    assert client.ask("GET", "/options", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_what_another_sites_page_sends_is_refused(client: Client, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/sessions"), ("POST", "/animate"), ("DELETE", f"/jobs/{'0' * 32}")):
        assert client.ask(method, path, b"", headers).status == 403
    preflight = client.ask(
        "OPTIONS", "/animate", headers={**headers, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status in (403, 405)
    assert "access-control-allow-origin" not in preflight.headers


def test_a_server_with_https_before_this_one_is_let_in_by_its_name(tmp_path: Path, tiny: str) -> None:
    with running(tmp_path, weights=tiny, public_name="Films.example") as client:
        for name, status in (("films.example", 201), ("evil.example", 421)):
            headers = {"Host": name, "Origin": f"https://{name}"}
            assert client.ask("POST", "/sessions", b"", headers).status == status


def test_this_servers_own_page_is_let_in(client: Client) -> None:
    headers = {"Origin": client.address, "Sec-Fetch-Site": "same-origin"}
    assert client.ask("POST", "/sessions", b"", headers).status == 201


def test_connections_that_send_no_request_are_closed(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcnet_cli.web.server.REQUEST_HEAD_S", 0.1)
    with running(tmp_path, weights=tiny) as client:
        place = urlsplit(client.address)
        for begun in (b"", b"GET / HT", b"GET /options HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"):
            with socket.create_connection((place.hostname, place.port), timeout=LONGEST_S) as connection:
                connection.sendall(begun)
                while connection.recv(1 << 16):
                    pass


def test_with_a_password_everything_needs_it(tmp_path: Path, tiny: str) -> None:
    (tmp_path / "password").write_text("corręct horse\n", encoding="utf-8")
    with running(tmp_path, weights=tiny, password_file=tmp_path / "password") as client:

        def status(path: str, password: str | None, kind: str = "Basic", method: str = "GET") -> int:
            headers = {}
            if password is not None:
                headers["Authorization"] = f"{kind} {base64.b64encode(password.encode()).decode()}"
            return client.ask(method, path, headers=headers).status

        for path in ("/", "/page.js", "/options", "/examples/astronaut.jpg", "/jobs/1", "/nowhere"):
            assert status(path, None) == 401
        assert status("/sessions", None, method="POST") == 401
        assert client.ask("GET", "/").headers["www-authenticate"].startswith('Basic realm="mcnet"')
        assert status("/", "me:corręct horse") == status("/options", ":corręct horse") == 200
        assert status("/", "me:wrong") == status("/", "me:corręct horse", kind="Bearer") == 401


@pytest.mark.parametrize("text", [b"", b"short\n", b"\nlonger than eight", b"x" * 2000, b"\xff\xfe12345678"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "password").write_bytes(text)
    with pytest.raises(InputError, match="password"):
        WebRequest(password_file=tmp_path / "password").password()


def test_an_address_that_is_taken_or_is_none_is_a_usage_error(tmp_path: Path, client: Client) -> None:
    port = int(client.address.rpartition(":")[2])
    for options in (
        {"port": port},
        {"host": "256.0.0.1"},
        {"host": "nowhere.invalid"},
        {"port": 99999},
        {"host": ""},
    ):
        with (
            pytest.raises(UsageError, match=r"--host|--port|listen"),
            running(tmp_path, **{"port": 0} | options),
        ):
            pass
