"""Builds and runs a program with the package."""

from pathlib import Path

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class Test(ConanFile):
    """A program that asks the library for its version."""

    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeDeps"

    def requirements(self) -> None:
        """Use the package that was just made."""
        self.requires(self.tested_reference_str)

    def layout(self) -> None:
        """Build where Conan expects it."""
        cmake_layout(self)

    def generate(self) -> None:
        """Write what CMake needs of the settings, and nothing into the checkout but the folder of the build."""
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        toolchain.generate()

    def build(self) -> None:
        """Build the program."""
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def test(self) -> None:
        """Run it, if this machine can."""
        if can_run(self):
            self.run(str(Path(self.build_folder, self.cpp.build.bindir, "version")), env="conanrun")
