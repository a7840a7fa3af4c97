"""Measures peers: starts a process for each variant, lets the processes run in turns, and returns rows.

All processes of a round are alive at the same time. One of them runs; the others wait for their next request and use
no processor time. Turns are short, so that a busy moment of the machine slows all of them alike.
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
# A process of another environment has no tidegate: it imports the folder of the adapters as a package named `peers`.
# A process that is measured does not check whether an editable tidegate must be rebuilt: the check takes longer than
# the whole start.
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


TRIAL = 20  # calls that are timed to find how many fit into a turn
FEWEST = 10  # calls of a turn
TOOLS = job.Variant("-", "tools")  # the variant of a process that only prepares files
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# ---- where peers are ----


def adapter(peer: str) -> ModuleType:
    """Return the adapter of a peer.

    Raises:
        BackendError: There is no such peer.
    """
    if peer not in (*ADAPTERS, MACHINE):
        raise BackendError(f"peer {peer!r} is unknown; there are {', '.join(ADAPTERS)}")
    return importlib.import_module(f"..peers.{peer}", __package__)


def homes() -> Path:
    """Return the folder of the peers' environments: TIDEGATE_PEERS, or build/peers, which `make peers` fills."""
    return Path(os.environ.get(HOME_VARIABLE, "build/peers")).absolute()


def interpreter(packages: Sequence[str], name: str) -> str:
    """Return the Python that can run a peer: the one of the peer's own environment, or this one.

    Args:
        packages: The modules that the peer imports.
        name: The name of the peer's environment; empty means this one.

    Raises:
        job.CannotRunError: The packages are installed in neither environment.
    """
    own = homes() / name / "bin" / "python"
    if name and own.exists():
        return str(own)
    if all(importlib.util.find_spec(package.partition(".")[0]) for package in packages):
        return sys.executable
    raise job.CannotRunError(f"{', '.join(packages)} not installed; `make peers` installs the peers")


def installed(names: Sequence[str] = ADAPTERS) -> list[str]:
    """Return the peers whose packages are installed, of the names given."""
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
    """A peer's process failed. The message is the process's own error, or its exit status."""


class Process:
    """A process that runs `peers/worker.py`; requests and answers are lines of JSON.

    Args:
        python: The interpreter of the peer's environment.
        core: The core that the process is pinned to; None means not pinned.
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
            start_new_session=True,  # close() ends its children too: OpenVINO's tools leave one behind
        )
        assert self._process.stdin is not None  # noqa: S101  a pipe
        assert self._process.stdout is not None  # noqa: S101  a pipe
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def ask(self, do: str, **fields: object) -> Fields:
        """Send one request and return its answer.

        Args:
            do: The name of the request, a method of `worker.Worker`.
            fields: The other fields of the request.

        Raises:
            job.CannotRunError: The peer cannot do what was asked.
            FailedError: The request failed, or the process ended.
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
        """Whether the process has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the process and all its children."""
        with suppress(ProcessLookupError):  # the process and its children have ended already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Processes(ExitStack):
    """The processes of a round, one per entrant. Leaving the context ends all of them.

    Args:
        core: The core that all processes are pinned to; None means not pinned.
    """

    def __init__(self, core: int | None = None) -> None:
        super().__init__()
        self._running: dict[Entrant, Process] = {}
        self._core = core

    def of(self, entrant: Entrant) -> Process:
        """Return the entrant's process if it still runs, or else start one."""
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
    """Measure jobs on peers and return a row for each job and variant.

    A variant that cannot run has a row with the reason. In an open loop, the machine without a runtime has a row too.

    Args:
        jobs: Jobs that differ only in the frames per chunk. Each process runs them one after the other.
        peers: Names of peers.
        settings: How to measure.
        progress: Called with the fraction done (0 to 1) and a description of the work.
        variants: By peer, the variants to measure. For a peer that is not in it, all variants are measured.
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
    """Return a progress function for one of several parts of equal length."""
    return lambda share, text=None: progress((number + share) / count, text)


def _entrants(what: job.Job, peers: Sequence[str], against: str, variants: Variants) -> Iterator[Entrant]:
    for peer in installed(peers):
        module = adapter(peer)
        python = interpreter(module.PACKAGES, peer)
        for variant in variants.get(peer) or _variants(module, what):
            yield Entrant(peer, variant, python)
            if against and peer == "tidegate":  # both builds run the files that this build prepares
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
    """Let each peer make its files. Nothing is measured yet, so that peers do it in parallel."""
    asked = [(what, record) for what, mine in zip(jobs, records, strict=True) for record in mine]
    by_peer = {
        record.entrant.peer: [one for one in asked if one[1].entrant.peer == record.entrant.peer] for _, record in asked
    }
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    try:  # the last peer first: ExecuTorch takes as long as all others together
        for done in [pool.submit(_prepare_peer, peer, by_peer[peer], progress) for peer in reversed(by_peer)]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_peer(peer: str, asked: Sequence[tuple[job.Job, EntrantRecord]], progress: Progress) -> None:
    """Let a peer make the files of all variants and jobs, in one process; a second one if the first ends."""
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
    """Run a step of an entrant's measurement; if it fails, note the reason, so that the entrant is left out."""
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
    """Let the process of each entrant load the job; give the entrants that have loaded it, with their processes."""
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
    """Time the entrants in turns."""
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
    """Return the number of chunks in a turn."""
    seconds = settings.seconds / settings.turns
    if settings.rate:
        return max(int(seconds * settings.rate), 1)
    trial = process.ask("time", **_asked(replace(settings, rate=0.0), TRIAL, stalled=False))
    once = max(trial["seconds"] / TRIAL, 1e-7)
    return int(np.clip(seconds / once, FEWEST, 200_000))


def _asked(settings: Settings, count: int, *, stalled: bool) -> Fields:
    stall = int(settings.stall * 1e9) if stalled else 0
    return {"count": count, "cold": settings.cold, "stall": stall, "period": settings.period}
