"""Nothing of the hook waits for a CUDA device; skipped without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn.utils import clip_grad_norm_  # noqa: E402

import monitor  # noqa: E402
from monitor.hook.handle import Handle  # noqa: E402
from tests.hook.networks import Transformer, cnn  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

STEPS = 100


def train(network: nn.Module, x: Tensor, logdir: Path, half: bool) -> None:
    """Any call that waits for the device is an error while training goes on."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    with monitor.watch(network, optimizer, logdir=logdir, every=1) as health:
        torch.cuda.set_sync_debug_mode("error")
        try:
            steps(network, x, half, health, optimizer)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def steps(
    network: nn.Module, x: Tensor, half: bool, health: Handle | None, given: Any = None
) -> None:
    optimizer = given or torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    scaler = torch.amp.GradScaler("cuda", enabled=half)
    for step in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16, enabled=half):
            loss = network(x).float().square().mean()
        scaler.scale(loss).backward()
        if not half:
            clip_grad_norm_(network.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        if health:
            health.log({"train/loss": loss}, step)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("make", [cnn, Transformer])
def test_a_hundred_steps_without_one_that_waits(
    make: type[nn.Module], half: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = make().cuda()
    words = torch.randint(0, 17, (16, 6)) if make is Transformer else torch.randn(16, 3, 8, 8)
    x = words.cuda()
    steps(network, x, half, None)  # what waits once, at the first steps, is not ours
    train(network, x, tmp_path, half)
    stream = Stream(tmp_path)
    assert stream.steps("train/loss") == list(range(STEPS))
    assert len(stream.steps("layer/weight_norm")) == STEPS
    assert not any(name.startswith("lost") for name in stream.facts)
