"""Signatures: only the maker's file loads, and no byte of it or of its signature may change."""

import subprocess
import sys
from pathlib import Path

import pytest
from kernels.building import ROOT, require
from tidegate import SignatureError, load, sign
from tidegate.runtime.errors import BackendError
from tidegate.runtime.load import compile_model
from tidegate.runtime.plan import signature
from tools.keys import write_keys
from tools.onnx_files import write_lstm

pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'tidegate[sign]'")

from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with m.onnx, m.tide and its signature of release 7 by maker.pem, and another.pem."""
    folder = tmp_path_factory.mktemp("signed")
    compile_model(write_lstm(folder / "m.onnx"), folder / "m.tide")
    write_keys(folder, "another")
    sign(folder / "m.tide", write_keys(folder, "maker")[0], 7)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_signed_file_loads_on_both_backends(folder: Path) -> None:
    sign(folder / "m.onnx", folder / "maker.pem")
    assert load(folder / "m.tide", require=folder / "maker.pub", release=7).stream().frames == 0
    for backend in ("native", "onnxruntime"):
        assert load(folder / "m.onnx", backend, require=folder / "maker.pub").stream().frames == 0


def test_row_24_file_of_another_maker_is_refused(folder: Path) -> None:
    way_out = "get the file and its signature from their maker"
    with pytest.raises(SignatureError, match=rf"m\.tide: signed by another key, or changed since; {way_out}"):
        load(folder / "m.tide", require=folder / "another.pub")
    sign(folder / "m.tide", folder / "another.pem", 7)
    with pytest.raises(SignatureError, match="signed by another key, or changed since"):
        load(folder / "m.tide", require=folder / "maker.pub")


def test_row_24_no_byte_of_the_file_or_its_signature_may_change(folder: Path) -> None:
    plan, text = folder / "m.tide", folder / "m.tide.sig"
    for path, places in ((plan, range(0, plan.stat().st_size, 61)), (text, range(text.stat().st_size - 1))):
        whole = path.read_bytes()
        for at in places:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(SignatureError, match=r"changed since|the signature is b'"):
                load(plan, require=folder / "maker.pub")
        path.write_bytes(whole)
    plan.write_bytes(plan.read_bytes() + b"\0")
    with pytest.raises(SignatureError, match="changed since"):
        load(plan, require=folder / "maker.pub")


def test_row_24_older_release_in_the_place_of_a_newer_one_is_refused(folder: Path) -> None:
    """Its signature is valid; only the release tells. It is signed too, so nobody can raise it."""
    with pytest.raises(
        SignatureError, match="release 7, wanted 8 or later: an older file is in its place; get the newest"
    ):
        load(folder / "m.tide", require=folder / "maker.pub", release=8)
    text = folder / "m.tide.sig"
    text.write_bytes(text.read_bytes().replace(b"release 7", b"release 8"))
    with pytest.raises(SignatureError, match="changed since"):
        load(folder / "m.tide", require=folder / "maker.pub", release=8)


def test_row_24_nothing_of_a_file_is_parsed_before_its_signature_is_right(folder: Path) -> None:
    (folder / "m.tide").write_bytes(b"no model at all")
    with pytest.raises(SignatureError, match="changed since"):
        load(folder / "m.tide", require=folder / "maker.pub")


def test_a_signature_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "m.tide.sig").unlink()
    with pytest.raises(FileNotFoundError, match=r"m\.tide\.sig: no such file, .* required; get it from its maker"):
        load(folder / "m.tide", require=folder / "maker.pub")


def test_what_cannot_be_signed_is_said(folder: Path) -> None:
    with pytest.raises(SignatureError, match="stands beside a file; give the path of the file"):
        load((folder / "m.tide").read_bytes(), require=folder / "maker.pub")
    with pytest.raises(SignatureError, match=r"release is 3, and no key is required; give require=KEY\.pub"):
        load(folder / "m.tide", release=3)
    key = (folder / "maker.pem").rename(folder / "m.tide.sig")
    with pytest.raises(SignatureError, match=r"m\.tide\.sig: is the key, .*; give the key another name"):
        sign(folder / "m.tide", key)
    key.rename(folder / "maker.pem")
    with pytest.raises(SignatureError, match="release is -1, wanted 0 to 999999999999999999"):
        sign(folder / "m.tide", folder / "maker.pem", -1)


def test_a_wrong_key_is_refused_by_its_name_with_a_command(folder: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    (folder / "curve.pem").write_bytes(pem)
    with pytest.raises(SignatureError, match=r"curve\.pem: the key is \w+, wanted Ed25519; make one: openssl genpkey"):
        sign(folder / "m.tide", folder / "curve.pem")
    with pytest.raises(SignatureError, match=r"maker\.pub: not a private key as PEM without a password; make one"):
        sign(folder / "m.tide", folder / "maker.pub")
    with pytest.raises(
        SignatureError, match=r"maker\.pem: not a public key .*; write it: openssl pkey -in KEY -pubout"
    ):
        load(folder / "m.tide", require=folder / "maker.pem")


def test_the_commands_of_the_messages_make_keys_that_work(folder: Path) -> None:
    shell(folder, "openssl genpkey -algorithm ed25519 -out KEY && openssl pkey -in KEY -pubout -out KEY.pub")
    sign(folder / "m.tide", folder / "KEY", 1)
    assert load(folder / "m.tide", require=folder / "KEY.pub").stream().frames == 0


def test_openssl_checks_a_signature_by_the_commands_of_the_page(folder: Path) -> None:
    if not (path := ROOT / "docs" / "signatures.md").exists():
        pytest.skip("the pages are in the checkout")
    page = path.read_text()
    commands = page[page.index("{ printf") :].split("```")[0].replace("kws", "m").replace("KEY", "maker")
    shell(folder, commands)
    (folder / "m.tide").write_bytes(b"changed")
    with pytest.raises(subprocess.CalledProcessError):
        shell(folder, commands)


def shell(folder: Path, commands: str) -> None:
    require("openssl")
    subprocess.run([require("bash"), "-ec", commands], cwd=folder, check=True, capture_output=True)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(BackendError, match=r"signatures need cryptography; pip install 'tidegate\[sign\]'"):
        signature.public_key(b"")
