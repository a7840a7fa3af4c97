"""Peers as processes, in turns: starts a process for each variant, lets one after the other run, gathers rows.

The processes of a round are all alive while one of them runs; the others wait for their next line and use nothing. A
turn is short, so that a busy spell of the machine meets all of them.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from ...runtime.errors import BackendError
from ..peers import ADAPTERS, MACHINE, OTHER_BUILD, job
from ..progress import Progress
from .records import Entrant, EntrantRecord, Fields, Settings, refused, row_of
from .results import Row

HOME_VARIABLE = "TIDEGATE_PEERS"
PEERS_FOLDER = Path(__file__).parents[1] / "peers"
# A process of another environment has no tidegate: it gets the folder of the adapters as a package of its own. One that
# is measured does not look whether an editable tidegate is to be built anew: that takes longer than all the rest.
BOOT = """
import importlib.util, os, sys
if {core!r} is not None:
    os.sched_setaffinity(0, {{{core!r}}})
for finder in sys.meta_path:
    if hasattr(finder, "rebuild_flag"):
        finder.rebuild_flag = False
spec = importlib.util.spec_from_file_location("peers", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["peers"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from peers.worker import main
main()
"""


TRIAL = 20  # calls that tell how many fit into a turn
FEWEST = 10  # of a turn
TOOLS = job.Variant("-", "tools")  # what a process that prepares runs
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# ---- where peers are ----


def adapter(peer: str) -> ModuleType:
    """Return the adapter of a peer.

    Raises:
        BackendError: There is none.
    """
    if peer not in (*ADAPTERS, MACHINE):
        raise BackendError(f"peer {peer!r} is unknown; there are {', '.join(ADAPTERS)}")
    return importlib.import_module(f"..peers.{peer}", __package__)


def homes() -> Path:
    """Return the folder of the peers' environments, which `make peers` fills: TIDEGATE_PEERS, else build/peers."""
    return Path(os.environ.get(HOME_VARIABLE, "build/peers")).absolute()


def interpreter(packages: Sequence[str], name: str) -> str:
    """Return the Python that has what a peer needs: its own environment's, or this one.

    Raises:
        job.CannotRunError: Neither has it.
    """
    own = homes() / name / "bin" / "python"
    if name and own.exists():
        return str(own)
    if all(importlib.util.find_spec(package.partition(".")[0]) for package in packages):
        return sys.executable
    raise job.CannotRunError(f"{', '.join(packages)} not installed: `make peers` installs what can be")


def installed(names: Sequence[str] = ADAPTERS) -> list[str]:
    """Return the peers that can run here."""
    found = []
    for name in names:
        try:
            interpreter(adapter(name).PACKAGES, name)
        except job.CannotRunError:
            continue
        found.append(name)
    return found


# ---- processes ----


class FailedError(Exception):
    """A peer's process failed; the message is what it said."""


class Process:
    """A worker, spoken to in lines of JSON.

    Args:
        python: The interpreter of its environment.
        core: The core that it runs on; None: where the system puts it.
    """

    def __init__(self, python: str, core: int | None = None) -> None:
        code = BOOT.format(init=str(PEERS_FOLDER / "__init__.py"), folder=str(PEERS_FOLDER), core=core)
        self._process = subprocess.Popen(  # noqa: S603  our own worker
            [python, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # so that what it starts ends with it: OpenVINO's tools leave a child behind
        )
        assert self._process.stdin is not None  # noqa: S101  a pipe
        assert self._process.stdout is not None  # noqa: S101  a pipe
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def ask(self, do: str, **fields: object) -> Fields:
        """Send one line and return its answer.

        Raises:
            job.CannotRunError: The peer does not do what was asked.
            FailedError: It failed, or its process ended.
        """
        try:
            self._stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self._stdin.flush()
            line = self._stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise FailedError(f"its process ended with status {self._process.wait()}")
        answer: Fields = json.loads(line)
        if "cannot" in answer:
            raise job.CannotRunError(answer["cannot"])
        if "failed" in answer:
            raise FailedError(answer["failed"])
        found: Fields = answer["ok"]
        return found

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the process and what it started."""
        with suppress(ProcessLookupError):  # it ended by itself, and left nothing behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Processes(ExitStack):
    """Processes, one an entrant, ended together.

    Args:
        core: The core that all run on; None: where the system puts them.
    """

    def __init__(self, core: int | None = None) -> None:
        super().__init__()
        self._running: dict[Entrant, Process] = {}
        self._core = core

    def of(self, entrant: Entrant) -> Process:
        """Return the process of the job before, or a fresh one: its times count from now."""
        if entrant not in self._running or self._running[entrant].ended:
            self._running[entrant] = process = Process(entrant.python, self._core)
            self.callback(process.close)
        return self._running[entrant]


# ---- jobs ----


Variants = Mapping[str, Sequence[job.Variant]]


def run_jobs(
    jobs: Sequence[job.Job],
    peers: Sequence[str],
    settings: Settings,
    progress: Progress = lambda _share, _text=None: None,
    variants: Variants | None = None,
) -> list[Row]:
    """Measure jobs on peers and return a row for each job and variant, refusals included.

    In an open loop the machine alone takes part.

    Args:
        jobs: Jobs that differ in the frames of a chunk alone: a process runs one after the other.
        peers: Names of peers.
        settings: How to measure.
        progress: Called with the share done and what is going on.
        variants: Of peers named here these, in place of all that they have.
    """
    if settings.rate:
        peers = [*peers, MACHINE]
    records = [
        [EntrantRecord(entrant, [], {}, []) for entrant in _entrants(what, peers, settings.against, variants or {})]
        for what in jobs
    ]
    _prepare(jobs, records, progress)
    for number in range(settings.processes):
        with Processes(settings.core) as processes:
            for place, (what, mine) in enumerate(zip(jobs, records, strict=True)):
                part = _part(progress, number * len(jobs) + place, settings.processes * len(jobs))
                started = list(_loaded(what, mine, processes, part))
                _round(what, started, settings, part)
    rows = []
    for what, mine in zip(jobs, records, strict=True):
        rows += [refused(what, settings, peer, variant, reason) for peer, variant, reason in _missing(peers)]
        rows += [row_of(what, settings, record) for record in mine]
    return rows


def run_job(
    what: job.Job,
    peers: Sequence[str],
    settings: Settings,
    progress: Progress = lambda _share, _text=None: None,
    variants: Variants | None = None,
) -> list[Row]:
    """Measure one job; see `run_jobs`."""
    return run_jobs([what], peers, settings, progress, variants)


def _part(progress: Progress, number: int, count: int) -> Progress:
    """Return the progress of one of several parts."""
    return lambda share, text=None: progress((number + share) / count, text)


def _entrants(what: job.Job, peers: Sequence[str], against: str, variants: Variants) -> Iterator[Entrant]:
    for peer in installed(peers):
        module = adapter(peer)
        python = interpreter(module.PACKAGES, peer)
        for variant in variants.get(peer) or _variants(module, what):
            yield Entrant(peer, variant, python)
            if against and peer == "tidegate":  # both run the files that this build prepares
                yield Entrant(peer, variant, against, OTHER_BUILD)


def _variants(module: ModuleType, what: job.Job) -> Sequence[job.Variant]:
    found: Sequence[job.Variant] = module.variants(what) if hasattr(module, "variants") else module.VARIANTS
    return found


def _missing(peers: Sequence[str]) -> Iterator[tuple[str, job.Variant, str]]:
    for peer in peers:
        module = adapter(peer)
        try:
            interpreter(module.PACKAGES, peer)
        except job.CannotRunError as error:
            yield peer, job.Variant("-", "-"), str(error)


def _prepare(jobs: Sequence[job.Job], records: Sequence[Sequence[EntrantRecord]], progress: Progress) -> None:
    """Let each peer make its files; nothing is measured yet, so peers do it side by side."""
    asked = [(what, record) for what, mine in zip(jobs, records, strict=True) for record in mine]
    by_peer = {
        record.entrant.peer: [one for one in asked if one[1].entrant.peer == record.entrant.peer] for _, record in asked
    }
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    try:  # the last first: ExecuTorch takes as long as all others together
        for done in [pool.submit(_prepare_peer, peer, by_peer[peer], progress) for peer in reversed(by_peer)]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_peer(peer: str, asked: Sequence[tuple[job.Job, EntrantRecord]], progress: Progress) -> None:
    """Let a peer make the files of all variants and jobs, in one process with its tools as long as that lives."""
    module = adapter(peer)
    if not hasattr(module, "prepare"):
        return
    try:
        python = interpreter(getattr(module, "TOOLS", module.PACKAGES), getattr(module, "TOOLS_HOME", peer))
    except job.CannotRunError as error:
        for _, record in asked:
            record.refusal = str(error)
        return
    with Processes() as processes:
        for what, record in asked:
            progress(0.0, f"{what.case} T={what.steps}: preparing {peer}")
            with _taking_part(record):
                processes.of(Entrant(peer, TOOLS, python)).ask("prepare", **record.entrant.asked(what))


@contextmanager
def _taking_part(record: EntrantRecord) -> Iterator[None]:
    """Let an entrant that cannot go on, or fails, take no further part."""
    try:
        yield
    except (job.CannotRunError, FailedError) as error:
        record.refusal = str(error)


def _loaded(
    what: job.Job,
    records: Sequence[EntrantRecord],
    processes: Processes,
    progress: Progress,
) -> Iterator[tuple[EntrantRecord, Process]]:
    """Let the process of each entrant that takes part load the job, one after the other."""
    for record in records:
        if record.refusal:
            continue
        progress(0.0, f"{what.case} T={what.steps}: loading {record.entrant.peer} {record.entrant.variant.precision}")
        process = processes.of(record.entrant)
        with _taking_part(record):
            _load(what, record, process)
        if not record.refusal:
            record.turns.append([])
            yield record, process


def _round(
    what: job.Job, started: Sequence[tuple[EntrantRecord, Process]], settings: Settings, progress: Progress
) -> None:
    """Run the process of each entrant, in turns."""
    counts = [_count(process, settings) for _, process in started]
    for turn in range(settings.turns):
        for (record, process), count in zip(started, counts, strict=True):
            if record.refusal:
                continue
            progress(
                turn / settings.turns,
                f"{what.case} T={what.steps}: {record.entrant.peer} {record.entrant.variant.precision}",
            )
            with _taking_part(record):
                record.turns[-1].append(process.ask("time", **_asked(settings, count, stalled=turn == 0)))


def _load(what: job.Job, record: EntrantRecord, process: Process) -> None:
    record.loads.append(process.ask("load", **record.entrant.asked(what)))
    if not record.errors:
        record.errors = process.ask("errors") | process.ask("footprint")


def _count(process: Process, settings: Settings) -> int:
    """Return chunks a turn."""
    seconds = settings.seconds / settings.turns
    if settings.rate:
        return max(int(seconds * settings.rate), 1)
    trial = process.ask("time", **_asked(replace(settings, rate=0.0), TRIAL, stalled=False))
    once = max(trial["seconds"] / TRIAL, 1e-7)
    return int(np.clip(seconds / once, FEWEST, 200_000))


def _asked(settings: Settings, count: int, *, stalled: bool) -> Fields:
    stall = int(settings.stall * 1e9) if stalled else 0
    return {"count": count, "cold": settings.cold, "stall": stall, "period": settings.period}
