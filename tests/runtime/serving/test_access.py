"""Who may come in: tokens, certificates, and addresses that other machines reach."""

from pathlib import Path

import pytest
from tidegate.runtime.errors import ServerError
from tidegate.runtime.serving.access import Access, from_this_machine
from tidegate.runtime.serving.requests import Refused, Why
from tools.serving import certificate

TOKENS = "# whose, and what\n\nann 0123456789abcdef\nann fedcba9876543210\nbob this-is-a-long-token\n"


def test_a_token_names_its_owner(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    access = Access.of(tmp_path / "tokens")
    assert access.owner("Bearer 0123456789abcdef") == "ann"
    assert access.owner("bearer  fedcba9876543210 ") == "ann"
    assert access.owner("Bearer this-is-a-long-token") == "bob"
    assert Access().owner(None) == ""
    assert "0123456789abcdef" not in repr(access)


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Basic 0123456789abcdef", "Bearer 0123456789abcdeF"])
def test_row_197_who_is_not_known_is_refused(tmp_path: Path, given: str | None) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    with pytest.raises(Refused, match="Bearer TOKEN, with a token that is known") as refused:
        Access.of(tmp_path / "tokens").owner(given)
    assert refused.value.why == Why.token


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann short", "line 1: wanted OWNER TOKEN, with 16 characters or more"),
        ("\nann 0123456789abcdef more", "line 2: wanted OWNER TOKEN"),
        ("", "holds no token"),
    ],
)
def test_a_file_of_tokens_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ServerError, match=message):
        Access.of(tmp_path / "tokens")


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    assert Access.of(None, made, key).context() is not None
    with pytest.raises(ServerError, match="one of them is missing"):
        Access.of(None, made, None)
    with pytest.raises(ServerError, match="no certificate with its key"):
        Access.of(None, key, made)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com"])  # noqa: S104  that is the point
def test_row_197_an_address_that_others_reach_needs_tokens_and_tls(tmp_path: Path, host: str) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    made, key = certificate(tmp_path)
    with pytest.raises(ServerError, match=f"{host} is reached from other machines, and there is no tokens and no TLS"):
        Access().check(host)
    with pytest.raises(ServerError, match="there is no TLS: give --tokens, --tls-cert and --tls-key, or --open"):
        Access.of(tmp_path / "tokens").check(host)
    Access.of(tmp_path / "tokens", made, key).check(host)
    for near in ("127.0.0.1", "::1", "localhost"):
        Access().check(near)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:1", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_row_192_only_pages_of_this_machine_come_in(origin: str | None, *, allowed: bool) -> None:
    assert from_this_machine(origin) is allowed
