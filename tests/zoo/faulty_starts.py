"""Faults: starts that are wrong, and inputs as they come."""

from __future__ import annotations

import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import more
from tests.zoo.faulty_loss import WILD
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    squared,
    teacher,
    tensor,
    text,
)

# Starts that are wrong


@faulty(
    "bad_init",
    or_else=("exploding_gradient",),
    advice="initiali[sz]ation",
    beside=("slow_learning", "plateau", "divergence", "loss_spike", "oscillation", "update_ratio"),
)
def tied_and_far_too_loud(script: Script) -> None:
    """A tied embedding of width 1 (the default): the first loss is ten times that of a guess."""
    x = text(script.seed, letters=64, samples=4096)
    embed = nn.Embedding(64, 128)
    inner = mlp(128, 128, 128, act=nn.GELU)
    model = nn.ModuleDict({"embed": embed, "inner": inner})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    source = batches(32, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        z = embed(a[:, :-1])
        scores = (z + inner(z)) @ embed.weight.T
        return F.cross_entropy(scores.flatten(0, 1), a[:, 1:].flatten())

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss", optimizer,
        "train/learning_rate", "train/grad_norm"), clip=1.0).run()  # fmt: skip


@faulty("bad_init", or_else=("not_learning", "plateau", "vanishing_gradient"), severity="info",
    beside=(*HARDLY, "exploding_gradient", "dead_units", "model_audit"))  # fmt: skip
def all_weights_alike(script: Script) -> None:
    """Every weight begins at 0.05: the units of a layer do the same and always will."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(mlp(64, 64, 64, 10, act=nn.ELU), lambda w: nn.init.constant_(w, 0.05))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


@faulty(
    "bad_init",
    or_else=("exploding_gradient", "divergence"),
    advice="initiali[sz]ation",
    beside=(*WILD, "slow_learning", "oscillation"),
)
def messages_too_loud(script: Script) -> None:
    """Normal weights of width 1 in four convolutions over time: scores in the thousands."""
    x, y = more.waves(script.seed)
    model = weights(more.temporal(layers=4, channels=24), lambda w: nn.init.normal_(w, std=1.0))
    optimizer = torch.optim.NAdam(model.parameters(), 5e-4)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", norm="grad_norm"), clip=1.0).run()  # fmt: skip


HIDDEN = ("update_ratio", "slow_learning", "plateau", "gradient_noise")


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm",
    beside=HIDDEN)  # fmt: skip
def group_norm_hides_it(script: Script) -> None:
    """Weights of width 2 under group norm in dilated convolutions: it learns, far too slowly."""
    x, y = more.waves(script.seed)
    model = weights(more.temporal(layers=4, norm=True), lambda w: nn.init.normal_(w, std=2.0))
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "loss", optimizer, "learning_rate")).run()  # fmt: skip


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm",
    beside=HIDDEN)  # fmt: skip
def layer_norm_hides_it(script: Script) -> None:
    """Weights of width 1 in an MLP with layer norm, as Adam can hardly move them."""
    x, y, _, _ = digits(seed=script.seed)
    parts: list[nn.Module] = []
    for a in (64, 96, 96, 96, 96, 96):
        parts += [nn.Linear(a, 96), nn.LayerNorm(96), nn.GELU()]
    model = weights(nn.Sequential(*parts, nn.Linear(96, 10)), lambda w: nn.init.normal_(w, std=1.0))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip


# Inputs as they come


AS_THEY_COME = ("slow_learning", "oscillation", "loss_spike", "dead_units", "exploding_gradient",
    "plateau", "gradient_noise", "bad_init", "not_learning", "divergence", "update_ratio",
    "saturated_units", "vanishing_gradient")  # fmt: skip
"""What may also be true of a network that is fed raw measurements."""


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def wine_as_it_comes(script: Script) -> None:
    """Thirteen measurements of wines: proline is 750, hue is 1, and proline wins."""
    measured, kind = load_wine(return_X_y=True)
    model = mlp(13, 32, 3)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    source = batches(16, tensor(measured), torch.from_numpy(kind).long(), seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "train_loss")).run()  # fmt: skip


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def timestamps_among_features(script: Script) -> None:
    """One of seventeen features is a time in seconds since 1970; the others are whitened."""
    x, y = teacher(script.seed)
    stamp = 1.7e9 + 1e6 * torch.rand(len(x), 1)
    model = mlp(17, 48, 1, act=nn.LeakyReLU)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, torch.cat([x, stamp], dim=1), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 600,
        Log(script, "train/loss"), clip=1.0).run()  # fmt: skip


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def tumours_as_they_come(script: Script) -> None:
    """Thirty measurements of tumours from 0.001 to 4,000, BCE with logits, RMSprop."""
    measured, benign = load_breast_cancer(return_X_y=True)
    x, y = tensor(measured), tensor(benign)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(script.seed))
    x, y = x[order], y[order]
    model = mlp(30, 32, 16, 1, act=nn.ELU)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    source = batches(32, x[:450], y[:450], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 600,
        Log(script, "Loss/train"), after=every(60, judged(script, model,
            Loss__val=lambda: float(error(x[450:], y[450:]))))).run()  # fmt: skip
