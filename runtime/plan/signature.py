"""Detached signatures by Ed25519: who made a file, and that no older file is put in its place.

The signature of `m.tide` is the file `m.tide.sig`, one line: `tidegate-signature 1 release N`, and 64 bytes in base64.
Signed are that line without the bytes, a null byte, and the whole file. docs/signatures.md has the commands.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ENDING = ".sig"  # of the file of a signature, after the whole name of what it signs
MOST_BYTES = 256  # of a signature
MOST_KEY_BYTES = 4096
LARGEST_RELEASE = 10**18
_MAKE = "make one: openssl genpkey -algorithm ed25519 -out KEY"
_HALVE = "write it: openssl pkey -in KEY -pubout -out KEY.pub"
_LINE = re.compile(rb"(tidegate-signature 1 release (\d{1,18})) ([A-Za-z0-9+/]{85}[AQgw]==)\n?")


def sign(data: bytes, key: "Ed25519PrivateKey", release: int) -> bytes:
    """Return the signature of a file.

    Args:
        data: The whole file.
        key: What `private_key` returned.
        release: A number that grows from file to file, from 0 on; `check` can refuse older ones.

    Raises:
        SignatureError: The release is negative or has more than 18 digits.
    """
    if not 0 <= release < LARGEST_RELEASE:
        raise SignatureError(f"release is {release}, wanted 0 to {LARGEST_RELEASE - 1}")
    head = b"tidegate-signature 1 release %d" % release
    return head + b" " + b64encode(key.sign(_signed(head, data))) + b"\n"


def check(data: bytes, signature: bytes, key: "Ed25519PublicKey", release: int) -> None:
    """Check the signature of a file.

    Args:
        data: The whole file.
        signature: What `sign` returned.
        key: What `public_key` returned.
        release: The oldest release that is accepted.

    Raises:
        SignatureError: The signature is not one, is by another key or of other bytes, or is of an older release.
    """
    found = _LINE.fullmatch(signature)
    if found is None:
        raise SignatureError(f"the signature is {signature[:40]!r}, wanted a line that `tidegate compile --sign` wrote")
    if not _is_by(key, b64decode(found[3]), _signed(found[1], data)):
        raise SignatureError("signed by another key, or changed since; get the file and its signature from their maker")
    if int(found[2]) < release:
        raise SignatureError(
            f"signed as release {int(found[2])}, wanted {release} or later: an older file is in its place; get the "
            "newest from its maker"
        )


def _signed(head: bytes, data: bytes) -> bytes:
    return head + b"\0" + data


def _is_by(key: "Ed25519PublicKey", signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def private_key(text: bytes) -> "Ed25519PrivateKey":
    """Return the private Ed25519 key in a PEM file without a password.

    Raises:
        SignatureError: It holds no such key.
        BackendError: The package cryptography is not installed.
    """
    keys, kind = _cryptography()
    load = partial(keys.load_pem_private_key, text, None)
    key: Ed25519PrivateKey = _read(load, kind.Ed25519PrivateKey, "private", _MAKE)
    return key


def public_key(text: bytes) -> "Ed25519PublicKey":
    """Return the public Ed25519 key in a PEM file.

    Raises:
        SignatureError: It holds no such key.
        BackendError: The package cryptography is not installed.
    """
    keys, kind = _cryptography()
    key: Ed25519PublicKey = _read(partial(keys.load_pem_public_key, text), kind.Ed25519PublicKey, "public", _HALVE)
    return key


def _read(load: Callable[[], object], kind: type, half: str, way_out: str) -> Any:  # noqa: ANN401  a key of the kind
    """Return the key in a PEM file; another kind of key is refused by its name."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignatureError(f"not a {half} key as PEM without a password; {way_out}") from None
    if not isinstance(key, kind):
        raise SignatureError(f"the key is {type(key).__name__}, wanted Ed25519; {way_out}")
    return key


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise BackendError("signatures need cryptography; pip install 'tidegate[sign]'") from None
    return serialization, ed25519
