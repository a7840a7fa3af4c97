"""The campaign of kills, with few streams; a stream that differs or is lost is found."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("picows")
pytest.importorskip("websockets")
from load.kills import Campaign
from load.traffic import write_plan


@pytest.mark.slow
def test_row_240_servers_that_are_killed_one_after_the_other_lose_no_stream_and_no_bit(tmp_path: Path) -> None:
    write_plan(tmp_path / "A.tide")
    campaign = Campaign(tmp_path / "A.tide", 12, 2, 0.05, np.random.default_rng(1))
    asyncio.run(campaign.run(tmp_path))
    text, _ = campaign.report()
    assert "0 streams differ, 0 lost, 0 had no answer after a kill" in text
    assert [len(waits) for waits in campaign.waits] == [12, 12]
    assert min(campaign.answered) >= 3

    campaign.answered[3] -= 1
    campaign.lost.append("stream 3: no answer")
    campaign.waits[1].pop()
    text, good = campaign.report()
    assert "1 streams differ, 1 lost, 1 had no answer after a kill" in text
    assert not good
