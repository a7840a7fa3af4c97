"""What attacks have found so far: a line for each leg of one, from which the next run goes on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LEDGER = Path(__file__).with_name("hostile.jsonl")


@dataclass(frozen=True)
class Leg:
    """A part of an attack on one server.

    Attributes:
        door: The door.
        first: The number of its first case.
        beyond: That of the case after its last.
        requests: Requests that were sent.
        judged: Those that came as far as the engine, which answered or refused them.
        compared: Chunks of the neighbour that were right.
        hung: Connections on which nothing came for too long, and which the server did not close.
        mebibytes: The resident memory of the server after the leg.
        server: When this server started; legs with the same are of one process.
        wrong: What happened that must not.
    """

    door: str
    first: int
    beyond: int
    requests: int
    judged: int
    compared: int
    hung: int
    mebibytes: int
    server: str
    wrong: Sequence[str] = ()


def legs(door: str, path: Path = LEDGER) -> list[Leg]:
    """Return the legs at a door, in their order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [leg for leg in (Leg(**json.loads(line)) for line in lines) if leg.door == door]


def note(leg: Leg, path: Path = LEDGER) -> None:
    """Add a leg."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(leg)) + "\n")


def total(found: Sequence[Leg]) -> str:
    """Return what all legs at a door say together."""
    requests, judged, compared, hung = (
        sum(getattr(leg, name) for leg in found) for name in ("requests", "judged", "compared", "hung")
    )
    wrong = [one for leg in found for one in leg.wrong]
    growth = max((grown(found, server) for server in {leg.server for leg in found}), default=0)
    return (
        f"{requests:,} requests, {judged:,} came to the engine, {compared:,} chunks of the neighbour equal, {hung} "
        f"hung, at most {growth} MiB more at the end of a server than after its first fifth, {len(wrong)} wrong"
    )


def grown(found: Sequence[Leg], server: str) -> int:
    """Return the MiB by which a server grew from a fifth of its legs to the end."""
    own = [leg.mebibytes for leg in found if leg.server == server]
    return own[-1] - own[len(own) // 5]
