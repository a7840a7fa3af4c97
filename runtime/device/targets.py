"""The devices that a model can be compiled for: one table of compilers, flags, variants and boards.

`tidegate compile --target`, `make devices` and the tests use this table.
"""

from dataclasses import dataclass

# Lanes, panel, depths (of weights of 4 and of 8 bits, by planes of codes), bytes of a stored weight of 8 bits and the
# most weights of a matrix stored as words, of the variants that pack weights, as in their C files.
Layout = tuple[int, int, tuple[tuple[int, int], tuple[int, int]], int, int]
LAYOUTS: dict[str, Layout] = {
    "avx512_vnni": (16, 8, ((4, 4), (4, 4)), 1, 0),
    "avx2": (8, 8, ((4, 4), (4, 2)), 1, 16384),
    "sse41": (4, 8, ((4, 4), (4, 2)), 1, 16384),
    "neon_dotprod": (4, 8, ((4, 4), (4, 4)), 1, 0),
    "neon": (4, 8, ((2, 2), (2, 2)), 1, 0),
    "wasm_simd128": (4, 8, ((2, 2), (2, 2)), 2, 0),
}
IN_PLACE: Layout = (0, 0, ((0, 0), (0, 0)), 1, 0)


@dataclass(frozen=True)
class Board:
    """A board with a microcontroller that qemu emulates.

    Attributes:
        machine: Its name for `qemu-system-arm -machine`.
        flash: Start address and size in bytes of its flash.
        ram: Start address and size in bytes of its RAM.
    """

    machine: str
    flash: tuple[int, int]
    ram: tuple[int, int]


@dataclass(frozen=True)
class Run:
    """A method to run a program of a target on this machine.

    Attributes:
        variant: The variant of the engine.
        emulator: The command before the program; empty to run it on this processor.
        counter: The command of an emulator that counts instructions, if it is a different one.
    """

    variant: str
    emulator: tuple[str, ...] = ()
    counter: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A processor that a model can be compiled for.

    Attributes:
        name: Its name for `--target`.
        processor: A description of it.
        compiler: The C compiler.
        flags: Flags for this compiler.
        runs: How to run its programs here: one entry per variant of the engine, best first.
        board: The board of a microcontroller, whose program needs no operating system; else None.
        big_endian: Whether the highest byte of a number comes first, also in the frames that a program reads.
        core: The target whose code a chip runs; empty if it is itself one of `TARGETS`.
        linked: Whether the folder links a program; else the build system of the chip does, and the folder its objects.
    """

    name: str
    processor: str
    compiler: str
    flags: tuple[str, ...]
    runs: tuple[Run, ...]
    board: Board | None = None
    big_endian: bool = False
    core: str = ""
    linked: bool = True

    @property
    def variants(self) -> list[str]:
        """The variants of the engine in the program, best first; plain C is always one of them."""
        return list(dict.fromkeys([*(run.variant for run in self.runs), "scalar"]))

    @property
    def command(self) -> tuple[str, ...]:
        """The command before its program, to run it on this machine; empty if the program runs by itself."""
        emulator = self.runs[0].emulator
        libraries = ("-L", f"/usr/{self.compiler.removesuffix('-gcc')}") if emulator and self.board is None else ()
        return (*emulator[:1], *libraries, *emulator[1:])

    def tool(self, name: str) -> str:
        """Return the name of a tool that comes with the compiler, e.g. nm."""
        return self.compiler.removesuffix("gcc").removesuffix("cc") + name


def cortex_m(name: str, processor: str, flags: str, variant: str, board: Board) -> Target:
    """Return the target of a microcontroller, whose programs qemu runs on a board."""
    machine = ("qemu-system-arm", "-machine", board.machine, "-display", "none", "-serial", "none", "-monitor", "none")
    semihosting = ("-semihosting-config", "enable=on,target=native", "-kernel")
    emulator, counter = (*machine, *semihosting), (*machine, "-icount", "shift=0", *semihosting)
    return Target(
        name, processor, "arm-none-eabi-gcc", ("-mthumb", *flags.split()), (Run(variant, emulator, counter),), board
    )


def _linux(name: str, processor: str, compiler: str, flags: str, *runs: Run) -> Target:
    return Target(name, processor, compiler, tuple(flags.split()), runs)


KB, MB = 1 << 10, 1 << 20
MICROBIT = Board("microbit", (0, 256 * KB), (0x20000000, 16 * KB))
AN386 = Board("mps2-an386", (0, 4 * MB), (0x20000000, 4 * MB))
AN505 = Board("mps2-an505", (0x10000000, 4 * MB), (0x38000000, 4 * MB))
AN547 = Board("mps3-an547", (0, 512 * KB), (0x20000000, 512 * KB))

SOFT, SINGLE_V4, SINGLE_V5 = (
    "-mfloat-abi=soft",
    "-mfloat-abi=hard -mfpu=fpv4-sp-d16",
    "-mfloat-abi=hard -mfpu=fpv5-sp-d16",
)
WASM, NODE = "wasm", ("node",)
X86 = ("qemu-x86_64", "-cpu", "max")
A53, N1 = ("qemu-aarch64", "-cpu", "cortex-a53"), ("qemu-aarch64", "-cpu", "neoverse-n1")

_ALL = (
    cortex_m("cortex-m0", "Cortex-M0, M0+: floats in software", f"-mcpu=cortex-m0 {SOFT}", "scalar", MICROBIT),
    cortex_m("cortex-m4f", "Cortex-M4F: two products an instruction", f"-mcpu=cortex-m4 {SINGLE_V4}", "arm_dsp", AN386),
    cortex_m("cortex-m33", "Cortex-M33: the same", f"-mcpu=cortex-m33 {SINGLE_V5}", "arm_dsp", AN505),
    cortex_m("cortex-m55", "Cortex-M55, M85: Helium", "-mcpu=cortex-m55 -mfloat-abi=hard", "helium", AN547),
    _linux(
        "armv7-neon",
        "32-bit Arm with NEON: Cortex-A7, Raspberry Pi 2",
        "arm-linux-gnueabihf-gcc",
        "-mcpu=cortex-a7 -mfpu=neon-vfpv4",
        Run("neon32", ("qemu-arm",)),
    ),
    _linux(
        "aarch64",
        "64-bit Arm: Cortex-A53 and later, Raspberry Pi 3 to 5",
        "aarch64-linux-gnu-gcc",
        "",
        Run("neon_dotprod", N1),
        Run("neon", A53),
    ),
    _linux("riscv64", "64-bit RISC-V", "riscv64-linux-gnu-gcc", "", Run("scalar", ("qemu-riscv64",))),
    Target("s390x", "IBM Z: big-endian", "s390x-linux-gnu-gcc", (), (Run("scalar", ("qemu-s390x",)),), big_endian=True),
    _linux(
        "x86_64",
        "64-bit x86",
        "cc",
        "",
        Run("avx512_vnni"),
        Run("avx2", counter=X86),
        Run("sse41", counter=X86),
        Run("scalar", counter=X86),
    ),
    Target(WASM, "WebAssembly: browsers and Node", "ziglang", (), (Run("wasm_simd128", NODE), Run("scalar", NODE))),
    _linux("generic", "plain C for any processor with 32-bit floats", "cc", "", Run("scalar", counter=X86)),
)
TARGETS = {target.name: target for target in _ALL}
