"""The engine as a Conan package: conan create bindings/conan. A recipe takes the checkout that it stands in."""

from pathlib import Path

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy

KERNELS = Path("runtime", "kernels")


class Tidegate(ConanFile):
    """The C library of tidegate, static or shared."""

    name = "tidegate"
    version = "0.1.0"
    license = "Apache-2.0"
    description = "Streams recurrent neural networks in C: the same bits on every machine, no memory allocated."
    topics = ("lstm", "gru", "streaming", "embedded", "real-time")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}  # noqa: RUF012  Conan reads it so
    default_options = {"shared": False}  # noqa: RUF012

    def export_sources(self) -> None:
        """Take the engine of the checkout, without its tests."""
        root = Path(self.recipe_folder).parents[1]
        copy(self, "*", str(root / KERNELS), str(Path(self.export_sources_folder, KERNELS)), excludes="tests/*")
        copy(self, "LICENSE", str(root), self.export_sources_folder)

    def configure(self) -> None:
        """A library in C does not depend on the C++ of its user."""
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def layout(self) -> None:
        """Build where Conan expects it."""
        cmake_layout(self, src_folder=str(KERNELS))

    def generate(self) -> None:
        """Write what CMake needs of the settings."""
        CMakeToolchain(self).generate()
        CMakeDeps(self).generate()

    def build(self) -> None:
        """Build the library alone."""
        cmake = CMake(self)
        cmake.configure(variables={"BUILD_TESTING": "OFF"})
        cmake.build()

    def package(self) -> None:
        """Install the library, its header and its licence."""
        CMake(self).install()
        copy(self, "LICENSE", self.export_sources_folder, str(Path(self.package_folder, "licenses")))

    def package_info(self) -> None:
        """Offer the names of the library's own CMake and pkg-config files."""
        self.cpp_info.libs = ["tidegate"]
        self.cpp_info.set_property("cmake_file_name", "tidegate")
        self.cpp_info.set_property("cmake_target_name", "tidegate::tidegate")
        self.cpp_info.set_property("pkg_config_name", "tidegate")
        if self.options.shared:
            self.cpp_info.defines = ["TIDE_SHARED"]
        if self.settings.get_safe("os") in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["m"]
