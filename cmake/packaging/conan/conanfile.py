"""Conan 2 recipe for the checkout it lies in: conan create cmake/packaging/conan

Not run by this project's CI, whose machines have no Conan.
"""

import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy


class SluiceConan(ConanFile):
    name = "sluice"
    version = "0.1.0"
    license = "MIT"
    description = "A C++20 transport library with asyncio's transport/protocol model"
    topics = ("networking", "event-loop", "coroutines", "asyncio")
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..", "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "README.md", "cmake/*", "include/*", "src/*"):
            copy(self, pattern, src=root, dst=self.export_sources_folder)

    def validate(self):
        check_min_cppstd(self, 20)

    def requirements(self):
        # No header of ours includes one of OpenSSL's, but whoever links the static library links OpenSSL, too, and
        # the header-only target compiles against it.
        self.requires("openssl/[>=3.0 <4]", transitive_headers=True)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for option in ("TESTS", "EXAMPLES", "BENCH"):
            toolchain.cache_variables[f"SLUICE_BUILD_{option}"] = False
        toolchain.cache_variables["SLUICE_SHARED"] = bool(self.options.shared)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "sluice")
        self.cpp_info.set_property("cmake_target_name", "sluice::sluice")
        self.cpp_info.libs = ["sluice"]
        self.cpp_info.requires = ["openssl::ssl", "openssl::crypto"]
        if self.settings.os == "Linux":
            self.cpp_info.system_libs = ["pthread"]
        if self.options.shared:
            self.cpp_info.defines = ["SLUICE_SHARED=1"]
