"""Real trainings under the real hook, and what the rules that come with the monitor say of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

import monitor
from monitor.alerts import Alert
from monitor.detectors.base import WindowDetector
from monitor.follower import Follower
from monitor.points import TAG_PREFIX, Floats
from monitor.rules import load
from tests.detectors import networks as n
from tests.detectors.following import Verdict, follow
from tests.detectors.networks import Setup, he, mlp, normal, scaled
from tests.hook.reading import Stream

torch.set_num_threads(1)


@dataclass(frozen=True)
class Watched:
    """What a training has left behind."""

    stream: Stream
    alerts: Sequence[Alert]

    @property
    def fired(self) -> dict[str, int]:
        """Alert -> the step at which it was first shown."""
        found: dict[str, int] = {}
        for alert in self.alerts:
            found.setdefault(alert.rule.alert, alert.fired.step)
        return found

    def judged(self, detector: WindowDetector, tag: str) -> list[Verdict]:
        """One detector on one of the stream's series, joined as the engine does."""
        points = self.stream.points[tag]
        context: dict[str, Floats] = {}
        for role in detector.context:
            if role.startswith(TAG_PREFIX):
                values = self.stream.values(role.removeprefix(TAG_PREFIX)).copy()
                values[1:], values[0] = values[:-1].copy(), math.nan
                context[role] = values
        return follow(detector, points.values, points.steps, context, points.layers)


@lru_cache(maxsize=128)
def train(setup: Setup, seed: int = 0, steps: int = 30) -> Watched:
    """Trains with every step looked at; ends when the loss is no longer finite."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = setup.model()
    batches = _batches(*setup.data(generator), setup.batch, generator)
    learns = [p for p in model.parameters() if p.requires_grad]
    kind = torch.optim.SGD if setup.sgd else torch.optim.Adam
    optimizer = kind(learns, lr=setup.lr)
    with tempfile.TemporaryDirectory() as place:
        logdir = Path(place)
        with monitor.watch(model, optimizer, logdir=logdir, every=1) as health:
            for step in range(steps):
                x, y = next(batches)
                optimizer.zero_grad()
                loss = _loss(setup, model, x, y)
                loss.backward()
                optimizer.step()
                health.log({"train/loss": loss.detach()}, step)
                if not math.isfinite(float(loss.detach())):
                    break
        follower = Follower([logdir], load(None))
        follower.catch_up(final=True)
        assert not follower.engine.failures
        return Watched(Stream(logdir), follower.alerts())


def _loss(setup: Setup, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    out = model(x)
    if out.ndim == 3:  # one prediction for each symbol
        out, y = out.flatten(0, 1), y.flatten()
    return setup.loss(out, y)


def _batches(
    x: Tensor, y: Tensor, size: int, g: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for chosen in torch.randperm(len(x), generator=g).split(size):
            if len(chosen) == size:
                yield x[chosen], y[chosen]


HEALTHY: Mapping[str, Setup] = {
    "relu": Setup(mlp, n.vectors),
    "relu, six layers": Setup(lambda: mlp(depth=6), n.vectors),
    "relu, wide": Setup(lambda: mlp(depth=3, width=512), n.vectors),
    "relu, small batches": Setup(mlp, n.vectors, batch=4),
    "relu, sgd": Setup(mlp, n.vectors, lr=0.1, sgd=True),
    "relu, high rate": Setup(mlp, n.vectors, lr=1e-2),
    "gelu": Setup(lambda: mlp(nn.GELU), n.vectors),
    "tanh": Setup(lambda: mlp(nn.Tanh), n.vectors),
    "tanh, high rate": Setup(lambda: mlp(nn.Tanh), n.vectors, lr=1e-2),
    "sigmoid, shallow": Setup(lambda: mlp(nn.Sigmoid, 2), n.vectors),
    "sigmoid at the output": Setup(lambda: mlp(last=nn.Sigmoid()), n.vectors),
    "he, twelve layers": Setup(lambda: he(mlp(depth=12)), n.vectors),
    "he, twenty layers": Setup(lambda: he(mlp(depth=20, width=128)), n.vectors),
    "dropout": Setup(lambda: mlp(dropout=0.5), n.vectors),
    "batch norm": Setup(lambda: mlp(norm=True), n.vectors),
    "conv": Setup(lambda: n.cnn(False), n.white_images),
    "conv, he, eight layers": Setup(lambda: he(n.cnn(False, 8)), n.white_images),
    "conv with norm": Setup(n.cnn, n.white_images),
    "conv with norm, he": Setup(lambda: he(n.cnn(True, 8)), n.white_images),
    "residual": Setup(n.resnet, n.white_images),
    "residual, from zero": Setup(lambda: he(n.resnet(4, True)), n.white_images),
    "gpt": Setup(n.Gpt, n.tokens, batch=16),
    "gpt, torch's init": Setup(lambda: n.Gpt(small=False), n.tokens, batch=16),
    "post-norm encoder": Setup(n.PostNorm, n.vectors),
    "pre-norm encoder, deep": Setup(lambda: n.PostNorm(8, pre=True), n.vectors),
    "lstm": Setup(n.Lstm, n.sequences),
    "lstm of modules, gates open": Setup(lambda: n.HandLstm(bias=8.0), n.sequences),
    "gates open": Setup(n.Squeeze, n.images),
    "autoencoder": Setup(n.autoencoder, n.pictures, F.mse_loss),
    "tanh autoencoder": Setup(lambda: n.autoencoder(nn.Tanh), n.pictures, F.mse_loss),
    "sparse autoencoder": Setup(n.Sparse, n.pictures, F.mse_loss),
    "discriminator": Setup(n.dcgan_discriminator, n.white_images),
    "generator": Setup(n.dcgan_generator, n.noise, F.mse_loss),
    "pair in one": Setup(n.Pair, n.noise, lambda out, y: F.mse_loss(out, y[:, :10])),
    "frozen body": Setup(lambda: n.frozen(mlp(), 6), n.vectors),
    "pictures in [0, 1]": Setup(lambda: n.cnn(False), n.images),
    "one-hot": Setup(lambda: mlp(inputs=1000), n.one_hot),
    "binary": Setup(lambda: mlp(inputs=40), n.binary),
    "modest offset": Setup(mlp, scaled(1.0, 3.0)),
    "norm before all": Setup(lambda: nn.Sequential(nn.BatchNorm1d(64), *mlp()), scaled(1e3, 5e3)),
}
"""What no rule may speak up about."""

SICK: Mapping[str, tuple[str, Setup]] = {
    "normals of 1": ("BadInitialisation", Setup(lambda: normal(1.0)(mlp(depth=5)), n.vectors)),
    "normals of 1, conv": (
        "BadInitialisation",
        Setup(lambda: normal(1.0)(n.cnn(False)), n.white_images),
    ),
    "normals of 0.001, no biases": (
        "BadInitialisation",
        Setup(lambda: normal(0.001, bias=True)(mlp(depth=5)), n.vectors),
    ),
    "normals of 0.001": (
        "BadInitialisationGradients",
        Setup(lambda: normal(0.001)(mlp(depth=5)), n.vectors),
    ),
    "normals of 1 before norms": (
        "BadInitialisationHiddenByNorm",
        Setup(lambda: normal(1.0)(mlp(depth=4, norm=True)), n.vectors),
    ),
    "normals of 1 before norms, conv": (
        "BadInitialisationHiddenByNorm",
        Setup(lambda: normal(1.0)(n.cnn()), n.white_images),
    ),
    "normals of 1, residual": (
        "BadInitialisationHiddenByNorm",
        Setup(lambda: normal(1.0)(n.resnet()), n.white_images),
    ),
    "normals of 0.001 before norms": (
        "BadInitialisationHiddenByNorm",
        Setup(lambda: normal(0.001)(n.cnn()), n.white_images),
    ),
    "bias of -5": ("DeadUnits", Setup(lambda: n.biased(mlp(), -5.0, (2,)), n.vectors)),
    "biases of -1": ("DeadUnits", Setup(lambda: n.biased(mlp(), -1.0, (2, 4)), n.vectors)),
    "killed by the rate": ("DeadUnits", Setup(mlp, n.vectors, lr=10.0, sgd=True)),
    "killed by the rate, conv": ("DeadUnits", Setup(lambda: n.cnn(False), n.white_images, lr=0.3)),
    "tanh, normals of 1": (
        "SaturatedUnits",
        Setup(lambda: normal(1.0)(mlp(nn.Tanh, 4)), n.vectors),
    ),
    "sigmoid, normals of 3": (
        "SaturatedUnits",
        Setup(lambda: normal(3.0)(mlp(nn.Sigmoid, 6)), n.vectors),
    ),
    "tanh, saturated by the rate": (
        "SaturatedUnits",
        Setup(lambda: mlp(nn.Tanh), n.vectors, lr=0.3),
    ),
    "deep sigmoid": ("VanishingGradients", Setup(lambda: mlp(nn.Sigmoid, 10), n.vectors)),
    "inputs up to 1.4e8": ("UnnormalisedInput", Setup(mlp, scaled(2e7, 7e7))),
    "inputs x 1000 + 5000": ("UnnormalisedInput", Setup(lambda: mlp(nn.Tanh), scaled(1e3, 5e3))),
    "an offset alone": ("UnnormalisedInput", Setup(mlp, scaled(1.0, 5e3))),
    "pictures in [0, 255]": ("UnnormalisedInput", Setup(n.cnn, scaled(255.0, 0.0, n.images))),
    "tiny inputs": ("UnnormalisedInput", Setup(mlp, scaled(1e-5))),
}
"""What has to be said, and nothing else: alert and training."""
