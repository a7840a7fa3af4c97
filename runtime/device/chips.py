"""The names of chips and cores that people type for `--target`, and the target whose code runs there.

A chip has the variants of the engine, and so the bits and the counted instructions, of its target in `targets`. It has
its own compiler's flags, and its own sizes of memory: a model that is too large for it is refused when it is compiled.
The addresses are those of the board that qemu emulates. On the chip, its vendor's linker script takes the place of
`memory.ld`.
"""

from dataclasses import replace

from .targets import AN386, AN505, AN547, KB, MB, SINGLE_V4, SINGLE_V5, SOFT, TARGETS, Board, Run, Target, cortex_m

AN385, AN500 = replace(AN386, machine="mps2-an385"), replace(AN386, machine="mps2-an500")
M3, M7 = f"-mcpu=cortex-m3 {SOFT}", f"-mcpu=cortex-m7 {SINGLE_V5}"


def _with(board: Board, flash: int, ram: int) -> Board:
    """Return a board with the sizes of a chip's memory."""
    return replace(board, flash=(board.flash[0], flash), ram=(board.ram[0], ram))


def _chip(name: str, processor: str, core: str, flags: str, board: Board) -> Target:
    return replace(cortex_m(name, processor, flags, TARGETS[core].runs[0].variant, board), core=core)


def _esp(name: str, processor: str, compiler: str, flags: str) -> Target:
    """Return a chip of Espressif: its program is linked by ESP-IDF, of which the folder is a component."""
    return Target(name, processor, compiler, tuple(flags.split()), (Run("scalar"),), core="generic", linked=False)


XTENSA, RISCV = "xtensa-{}-elf-gcc", "riscv32-esp-elf-gcc"
_ALL = (
    _chip("cortex-m3", "Cortex-M3: floats in software", "cortex-m0", M3, AN385),
    _chip("cortex-m7", "Cortex-M7: two products an instruction", "cortex-m4f", M7, AN500),
    _chip("cortex-m85", "Cortex-M85: Helium", "cortex-m55", "-mcpu=cortex-m55 -mfloat-abi=hard", AN547),
    _chip(
        "rp2040",
        "RP2040: Cortex-M0+, on a board with 2 MB of flash",
        "cortex-m0",
        f"-mcpu=cortex-m0plus {SOFT}",
        _with(AN385, 2 * MB, 264 * KB),
    ),
    _chip(
        "rp2350",
        "RP2350: its Cortex-M33, on a board with 4 MB of flash",
        "cortex-m33",
        f"-mcpu=cortex-m33 {SINGLE_V5}",
        _with(AN505, 4 * MB, 520 * KB),
    ),
    _chip(
        "nrf52840",
        "nRF52840: Cortex-M4F",
        "cortex-m4f",
        f"-mcpu=cortex-m4 {SINGLE_V4}",
        _with(AN386, 1 * MB, 256 * KB),
    ),
    _chip("stm32h7", "STM32H743: Cortex-M7, its AXI SRAM", "cortex-m4f", M7, _with(AN500, 2 * MB, 512 * KB)),
    _esp("esp32", "ESP32: Xtensa LX6", XTENSA.format("esp32"), "-mlongcalls"),
    _esp("esp32s3", "ESP32-S3: Xtensa LX7", XTENSA.format("esp32s3"), "-mlongcalls"),
    _esp("esp32c3", "ESP32-C3: 32-bit RISC-V, floats in software", RISCV, "-march=rv32imc -mabi=ilp32"),
)
CHIPS = {chip.name: chip for chip in _ALL}
NAMES = TARGETS | CHIPS
