"""Commands that run a model refuse one that the required key did not sign."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tidegate
from tools.commands import Command, assert_refused, assert_wrong_usage
from tools.keys import write_keys

COMMANDS = (("run", "m.tide", "x.npy"), ("live", "m.tide", "x.npy"), ("serve", "m.tide", "--ws", "127.0.0.1:0"))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_row_242_a_model_that_the_key_did_not_sign_is_refused(
    words: Sequence[str], tide: Command, folder: Path
) -> None:
    pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'tidegate[sign]'")
    (private, public), (_, other) = write_keys(folder, "maker"), write_keys(folder, "other")
    assert_refused(tide(*words, "--require", public), r"m\.tide\.sig: no such file")
    tidegate.sign("m.tide", private, release=3)
    assert_refused(tide(*words, "--require", other), r"m\.tide.*not signed|signature")
    assert_refused(tide(*words, "--require", public, "--release", 4), "release 3")
    assert_wrong_usage(tide(*words, "--release", 4), "--release has no effect without --require")
    if words[0] != "serve":  # which would go on
        assert tide(*words, "--require", public, "--release", 3).status == 0


def test_the_cheaper_model_of_a_live_stream_must_be_signed_too(tide: Command, folder: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'tidegate[sign]'")
    private, public = write_keys(folder, "maker")
    tidegate.sign("m.tide", private)
    words = ("live", "m.tide", "x.npy", "--require", public, "--degrade", "m.int8.onnx")
    assert_refused(tide(*words), r"m\.int8\.onnx\.sig: no such file")
    tidegate.sign("m.int8.onnx", private)
    assert tide(*words).status == 0
