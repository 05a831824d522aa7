"""The walk in docs/architecture.md: its files and functions are there, and a callback token passes them in turn."""

from __future__ import annotations

import asyncio
import sys

import pytest
from walks import Hop, first_missing, hops, is_there

from .definitions import callback_step, pipeline
from .fakes import Bench

HOPS = hops("A callback token's way")


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop[1])
def test_a_hop_is_there(hop: Hop) -> None:
    assert is_there(hop)


def test_a_token_passes_the_hops_in_this_order() -> None:
    """From the orchestrator on; the tests of the API are about the hops before it."""
    walked: list[Hop] = []

    def note(frame, event: str, _) -> None:
        if event == "call" and "/local_aws/pipelines/" in frame.f_code.co_filename:
            walked.append((frame.f_code.co_filename.rpartition("/local_aws/")[2], frame.f_code.co_qualname))

    bench = Bench(pipeline(callback_step("W")))

    async def main() -> str:
        execution = await bench.run()
        bench.orchestrator.callbacks.answer(bench.aws.messages[0]["token"], None, "Succeeded", [], None)
        return execution.status

    sys.setprofile(note)
    try:
        status = asyncio.run(main())
    finally:
        sys.setprofile(None)
        bench.close()
    assert status == "Succeeded"
    expected = [hop for hop in HOPS[3:] if "/api/" not in hop[0]]
    assert len(expected) == 6
    assert first_missing(expected, walked) is None
