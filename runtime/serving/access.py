"""Who may come in: tokens that name owners of streams, and TLS. Off the loopback address both are wanted."""

import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from ..errors import ServerError
from .requests import Refused, Why

LEAST_TOKEN = 16  # characters
OPERATOR = "operator"  # the owner who may load and unload models
MOST_TOKENS = 2**20  # bytes of the file
BEARER = "bearer "
PROTOCOL = "tidegate"  # the subprotocol of websockets


@dataclass(frozen=True)
class Access:
    """The tokens of a server, and its certificate.

    Attributes:
        owners: The owners of streams by the SHA-256 of their tokens; None: everyone is one owner.
        certificate: The file of the certificate chain, PEM; None: no TLS.
        key: The file of its private key, PEM.
    """

    owners: Mapping[bytes, str] | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, tokens: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> Self:
        """Read the files of a server's access.

        Args:
            tokens: A text with a line `OWNER TOKEN` for each token; several tokens may name one owner.
            certificate: The certificate chain, PEM.
            key: Its private key, PEM.

        Raises:
            ServerError: A line is no owner and token, or one of certificate and key is missing or is none.
            OSError: A file cannot be read.
        """
        if (certificate is None) != (key is None):
            raise ServerError("TLS needs a certificate and its key, and one of them is missing")
        made = cls(None if tokens is None else _read(tokens), certificate, key)
        made.context()
        return made

    def owner(self, authorization: str | None) -> str:
        """Return the owner that a header `Authorization: Bearer TOKEN` names.

        Raises:
            Refused: There is no token, or it is not known.
        """
        if self.owners is None:
            return ""
        given = authorization or ""
        token = given[len(BEARER) :].strip() if given.lower().startswith(BEARER) else ""
        owner = self.owners.get(_digest(token))
        if owner is None:
            raise Refused(Why.token, "wanted an authorization of the form: Bearer TOKEN, with a token that is known")
        return owner

    def websocket_owner(self, authorization: str | None, offered: str | None, origin: str | None) -> tuple[str, str]:
        """Return whose a websocket is, and the subprotocol to answer with, if any.

        Args:
            authorization: The header of that name.
            offered: The header `Sec-WebSocket-Protocol`, in which a browser gives its token: `tidegate, TOKEN`.
            origin: The header of that name, which browsers send.

        Raises:
            Refused: The token is missing or not known, or a page of another machine asks.
        """
        protocols = [one.strip() for one in (offered or "").split(",")]
        if len(protocols) == 2 and protocols[0] == PROTOCOL:
            authorization = BEARER + protocols[1]
        owner = self.owner(authorization)
        if not from_this_machine(origin):
            raise Refused(Why.token, "pages of this machine are served, no others")
        return owner, PROTOCOL if PROTOCOL in protocols else ""

    def check_operator(self, owner: str) -> None:
        """Refuse an owner that may not load and unload models: with tokens only the one called `operator` may.

        Raises:
            Refused: It is another owner.
        """
        if self.owners is not None and owner != OPERATOR:
            raise Refused(Why.token, f"only the owner {OPERATOR!r} loads and unloads models; use its token")

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context of a server, or None.

        Raises:
            ServerError: The files are no certificate with its key.
        """
        if self.certificate is None or self.key is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise ServerError(f"{self.certificate}, {self.key}: no certificate with its key ({error})") from None
        return context

    def check(self, host: str) -> None:
        """Refuse an address that other machines reach, unless tokens and TLS are there.

        Raises:
            ServerError: One of them is missing.
        """
        missing = [name for name, there in (("tokens", self.owners), ("TLS", self.certificate)) if there is None]
        if missing and not _is_loopback(host):
            raise ServerError(
                f"{host} is reached from other machines, and there is no {' and no '.join(missing)}: give --tokens, "
                "--tls-cert and --tls-key, or --open if the network is to be trusted"
            )


def _read(path: Path) -> dict[bytes, str]:
    with path.open(encoding="utf-8", errors="strict") as file:
        text = file.read(MOST_TOKENS)
    owners = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or len(words[1]) < LEAST_TOKEN or not words[0].isprintable():
            raise ServerError(
                f"{path}, line {number}: wanted OWNER TOKEN, with {LEAST_TOKEN} characters or more in TOKEN"
            )
        owners[_digest(words[1])] = words[0]
    if not owners:
        raise ServerError(f"{path}: holds no token; wanted a line OWNER TOKEN for each")
    return owners


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def from_this_machine(origin: str | None) -> bool:
    """Whether a request is of no page in a browser, or of one of this machine: any page may call this machine."""
    return origin is None or _is_loopback(urlsplit(origin).hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
