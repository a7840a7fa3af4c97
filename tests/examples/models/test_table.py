"""The table of the gallery: what it must say of each model, and what is refused."""

import hashlib
from pathlib import Path

import pytest
from table import File, Model, TableError, read
from tools.gallery_table import ENTRY, FILE, HASH, LINK
from tools.shared import model_folder

MODELS = read()


def read_text(folder: Path, text: str) -> list[Model]:
    path = folder / "models.toml"
    path.write_text(text)
    return read(path)


def test_each_task_of_the_gallery_has_its_models() -> None:
    tasks = [model.task for model in MODELS]
    wanted = {"keyword spotting", "beat tracking", "speaker", "amplifier", "grapheme to phoneme"}
    assert set(tasks) == wanted | {"voice activity", "noise suppression"}
    assert tasks.count("voice activity") == tasks.count("noise suppression") == 3


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_model_has_its_origin_and_its_licence(model: Model) -> None:
    """`read` refuses links that are not pinned; permissive licences only."""
    assert model.licence in ("MIT", "BSD-3-Clause", "Apache-2.0", "CC-BY-4.0")
    assert model.owner
    assert model.licence_link.startswith("https://")
    assert all(f"files/{file.name}" in " ".join(model.fetching) or file.name in file.fetch[-1] for file in model.file)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_three_commands_make_what_the_next_one_reads(model: Model) -> None:
    first, *middle, last = model.commands
    assert first.endswith(f"-o {model.streaming}")
    quantize = f"tidegate quantize files/{model.name}.stream.onnx -o files/{model.name}.int8.onnx"
    assert middle == ([] if model.streaming == model.quantized else [quantize])
    assert last.startswith(f"tidegate bench files/{model.name}.int8.onnx --closed --peers none")
    assert not {model.streaming, model.quantized} & {f"files/{name}" for name in model.needed}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("silero_vad_op18_ifless.onnx", "silero_vad_op18_ifless"),
        ("silero_vad_v4.onnx", "silero_vad_v4"),
        ("dtln_1.onnx", "dtln_1"),
        ("dtln_2.onnx", "dtln_2"),
        ("voicefilter_lite.int8.onnx", "voicefilter_lite"),
    ],
)
def test_hashes_are_those_of_the_public_files(name: str, folder: str) -> None:
    data = (model_folder(folder) / "model.onnx").read_bytes()
    (file,) = (file for model in MODELS for file in model.file if file.name == name)
    assert hashlib.sha256(data).hexdigest() == file.sha256


def test_a_file_is_fetched_by_its_link_or_by_its_own_commands() -> None:
    assert File("a", LINK, HASH).commands == (f"curl -L --create-dirs -o files/a {LINK}",)
    assert File("a", LINK, HASH, ("pip download a",)).commands == ("pip download a",)


def test_a_table_is_read(tmp_path: Path) -> None:
    (model,) = read_text(tmp_path, ENTRY + 'made = "b"\nmaking = "python b.py"\nchunk = 64' + FILE)
    assert model.file == (File("net.onnx", LINK, HASH),)
    assert model.needed == ["net.onnx", "b"]
    assert model.fetching == [f"curl -L --create-dirs -o files/net.onnx {LINK}", "python b.py"]
    assert "--chunk 64 " in model.commands[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY, r"model net: unknown none, missing \['file'\]"),
        (ENTRY + 'odd = "x"' + FILE, r"model net: unknown \['odd'\], missing none"),
        (ENTRY.replace('owner = "Somebody"', "") + FILE, r"model net: unknown none, missing \['owner'\]"),
        (ENTRY.replace(f'licence_link = "{LINK}"', "") + FILE, r"missing \['licence_link'\]"),
        (ENTRY + FILE + 'size = "3"', r"file net.onnx: unknown \['size'\]"),
        (ENTRY + FILE.replace("a" * 40, "main"), "file net.onnx: link .*/main/.*wanted https:// with a commit"),
        (ENTRY.replace("a" * 40, "main") + FILE, "model net: licence_link .*wanted https:// with a commit"),
        (ENTRY + FILE.replace(HASH, "0" * 63), "sha256 '0{63}', wanted 64 hexadecimal digits"),
        ((ENTRY + FILE) * 2, "net: there twice"),
    ],
)
def test_a_table_without_what_it_needs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_text(tmp_path, text)
