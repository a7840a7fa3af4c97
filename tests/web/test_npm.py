"""The npm package, packed and installed from its tarball: its README in Node, and its types."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernels.building import ROOT, require
from tidegate.runtime.backends.native import NativeModel
from tools.browsers import node_tool
from tools.npm_package import write_package
from web.test_browsers import amplifier

pytestmark = pytest.mark.slow  # the engine is built

USE = """
import { ChunkError, load, type Answer, type Group, type Stream } from "tidegate";
import { load as loadInWorker } from "tidegate/worker";
import { createNode } from "tidegate/worklet";

export async function use(plan: ArrayBuffer, context: AudioContext): Promise<Float32Array> {
  const model = await load(plan);
  const stream: Stream = model.stream({ "lstm.h_in": new Float32Array(32) });
  const group: Group = model.streams(4);
  const answer: Answer = group.push(new Float32Array(4), [0, 1, 2, 3]);
  const remote = await (await loadInWorker(plan)).stream();
  await remote.restore(stream.snapshot());
  (await createNode(context, plan, { channels: 2 })).connect(context.destination);
  try {
    return stream.push(new Float32Array(1), new Float32Array(1));
  } catch (error) {
    if (error instanceof ChunkError) return answer instanceof Float32Array ? answer : answer["y"]!;
    throw error;
  }
}
// @ts-expect-error  a text is no chunk
export const wrong = (stream: Stream) => stream.push("frames");
"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([require(command[0]), *command[1:]], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the tarball was installed, without a network."""
    folder = tmp_path_factory.mktemp("npm")
    package, user = write_package(folder / "package"), folder / "user"
    user.mkdir()
    (tarball,) = json.loads(run(package, "npm", "pack", "--json", "--offline", "--pack-destination", str(user)))
    (user / "package.json").write_text('{"type": "module"}')
    run(user, "npm", "install", "--offline", "--no-audit", "--no-fund", f"./{tarball['filename']}")
    return user


def test_row_154_the_lines_of_the_readme_give_the_numbers_of_python(installed: Path) -> None:
    (code, *_) = re.findall(r"```js\n(.*?)```", (ROOT / "bindings/npm/README.md").read_text(), re.DOTALL)
    (installed / "main.mjs").write_text(code)
    (installed / "model.tide").write_bytes(amplifier())
    said = run(installed, "node", "main.mjs")
    seen = np.array(re.findall(r"\[ (.*?) \]", said), np.float64).astype(np.float32)
    stream = NativeModel(amplifier()).stream()
    wanted = [stream.push(np.full((1, 1), np.float32(i / 10)))[0, 0] for i in range(3)]
    np.testing.assert_array_equal(seen, np.array(wanted, np.float32), strict=True)


def test_the_package_has_its_files_and_its_version(installed: Path) -> None:
    package = json.loads((installed / "node_modules/tidegate/package.json").read_text())
    assert f'version = "{package["version"]}"' in (ROOT / "pyproject.toml").read_text()
    named = {name for name in re.findall(r"\./[\w.-]+", json.dumps(package["exports"])) if "." in name[2:]}
    assert len(named) > 8
    for name in named:
        assert (installed / "node_modules/tidegate" / name).is_file(), name
    assert (installed / "node_modules/tidegate/LICENSE").is_file()


def test_the_types_accept_a_use_of_all_entries_and_refuse_a_wrong_one(installed: Path) -> None:
    (installed / "use.ts").write_text(USE)
    options = ["--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"]
    compiler = node_tool("typescript") / "bin" / "tsc"
    run(installed, "node", str(compiler), *options, "--lib", "es2022,dom", "use.ts")
