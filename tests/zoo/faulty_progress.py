"""Faults: losses that stand still, creep, or fall on the training set only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from monitor.points import Floats
from tests.zoo.kinds import faulty
from tests.zoo.loop import (
    BARE,
    CHARTS,
    HUGGING_FACE,
    LIGHTNING,
    PLAIN,
    Plan,
    Tags,
    batches,
    fit,
    sequence,
)
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import absolute, cross_entropy, diabetes, digits, right, squared, teacher

STILL = ("plateau", "unchanged_weights", "update_ratio", "gradient_noise")
TOO_SOON = 0.2
"""A loss at its start may yet leave it: nobody can tell before a fifth of the run is over."""


@faulty("slow_learning", severity="info", beside=("update_ratio",), advice="learning rate")
def adam_at_a_millionth(script: Script) -> None:
    """Adam at 3e-6: a smooth and steady descent that would take days."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-6),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=1500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip
    script.onset(int(TOO_SOON * 1500), known=False)


@faulty(
    "slow_learning", severity="info", beside=("update_ratio",), advice="learning rate", hook=False
)
def sgd_crawling(script: Script) -> None:
    """SGD without momentum at 0.0003 on digits."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 3e-4),
        batches(256, x, y, seed=script.seed), cross_entropy, steps=1500, tags=PLAIN))  # fmt: skip
    script.onset(int(TOO_SOON * 1500), known=False)


def _floor(script: Script, tag: str) -> None:
    """The onset: a tenth of the run after the loss has come within 2 % of its fall of its end.

    Standing still takes time to be seen; before a tenth of the run it is a pause.
    """
    _, loss = script.curve(tag)
    width = 25
    middle = np.array([np.median(loss[max(0, i - width) : i + 1]) for i in range(len(loss))])
    end = np.median(loss[len(loss) // 2 :])
    near = middle <= end + 0.02 * (middle[0] - end)
    script.onset(int(np.argmax(near)) + len(loss) // 10, known=False)


@faulty("plateau", severity="info", advice="tail decay|drop of the learning rate")
def floor_of_a_constant_rate(script: Script) -> None:
    """Fast at first, then at the noise floor of a constant rate."""
    x, y = diabetes()
    model = nn.Linear(10, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.01),
        batches(16, x, y, seed=script.seed), absolute, steps=2000))  # fmt: skip
    _floor(script, "train/loss")


@faulty("plateau", severity="info", hook=False)
def floor_of_label_noise(script: Script) -> None:
    """Fresh noise on every label: nothing is left to learn after a fifth of the run."""
    x, y, _, _ = digits(seed=script.seed)
    model = nn.Linear(64, 10)

    def noise(_: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        wrong = torch.rand(64) < 0.5
        return batch[0], torch.where(wrong, torch.randint(0, 10, (64,)), batch[1])

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 0.002),
        batches(64, x, y, seed=script.seed, change=noise), cross_entropy, steps=2000,
        tags=HUGGING_FACE))  # fmt: skip
    _floor(script, "train/loss")


@faulty(
    "early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"), advice="decay"
)
def stepped_down_too_soon(script: Script) -> None:
    """Tenths at 6 and 12 % of the run, while the loss was falling fast."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 64, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), squared, steps=1200,
        rate=sequence([(0, 1), (0.03, 0.1), (0.06, 0.01)])))  # fmt: skip
    script.onset(150, known=False)


@faulty(
    "early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"), advice="decay"
)
def geometric_decay_too_fast(script: Script) -> None:
    """0.98 at every step: after 300 of 1,200 steps a four-hundredth is left."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-4),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=1200,
        rate=lambda part: 0.98 ** (1200 * part),
        val=lambda: float(cross_entropy(model, vx, vy)), tags=LIGHTNING))  # fmt: skip
    script.onset(230, known=False)  # a hundredth is left


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau",), advice="decay", hook=False)
def cosine_of_the_wrong_length(script: Script) -> None:
    """A cosine that was meant for a tenth of the run, which then stays at its least."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 64, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 0.05),
        batches(64, x, y, seed=script.seed), squared, steps=1500, tags=PLAIN,
        rate=lambda part: 1e-4 + 0.5 * (1 + np.cos(np.pi * min(1.0, part / 0.08)))))  # fmt: skip
    script.onset(120)


@faulty("not_learning", severity="info", beside=STILL)
def labels_shuffled(script: Script) -> None:
    """Inputs and labels come from two loaders that shuffle each for itself: ln 10 for ever."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)

    other = batches(64, y, seed=script.seed + 500)

    def apart(_: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return batch[0], next(other)[0]

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(64, x, y, seed=script.seed, change=apart), cross_entropy, steps=1000,
        val=lambda: float(cross_entropy(model, vx, vy)),
        score=lambda: right(model, vx, vy), tags=CHARTS))  # fmt: skip
    script.onset(int(TOO_SOON * 1000), known=False)


@faulty("not_learning", severity="info", beside=STILL, hook=False)
def axes_mixed_up(script: Script) -> None:
    """A reshape where a transpose was meant: each row holds pieces of all examples."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 10)

    def mixed(_: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return batch[0].T.reshape(64, 64), batch[1]

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(64, x, y, seed=script.seed, change=mixed), cross_entropy, steps=1000,
        tags=HUGGING_FACE))  # fmt: skip
    script.onset(int(TOO_SOON * 1000), known=False)


@faulty(
    "not_learning",
    severity="info",
    or_else=("unchanged_weights", "dead_units", "bad_init", "vanishing_gradient"),
    beside=STILL,
)
def all_weights_zero(script: Script) -> None:
    """Weights that begin at zero stay there: only the last bias moves."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=800))  # fmt: skip
    script.onset(int(TOO_SOON * 800), known=False)


def above_its_least(loss: Floats) -> int:
    """Where it is, for good, a twentieth of its least or of its fall above it, whichever is less.

    Where it is least nobody can know that it will rise.
    """
    least = float(loss.min())
    seen = min(0.05 * abs(least), 0.05 * (float(loss[0]) - least))
    return min(int(np.flatnonzero(loss <= least + seen)[-1]) + 1, len(loss) - 1)


def rises(script: Script, tag: str) -> None:
    """The onset: from then on the validation loss is seen to be above its least."""
    steps, loss = script.curve(tag)
    script.onset(int(steps[above_its_least(loss)]), known=False)


@faulty("overfitting", beside=("plateau",))
def few_examples(script: Script) -> None:
    """A hundred examples and a wide network: the validation loss falls, then rises steadily."""
    x, y, vx, vy = digits(seed=script.seed)
    generator = torch.Generator().manual_seed(script.seed)
    y = torch.where(torch.rand(len(y), generator=generator) < 0.3, (y + 3) % 10, y)
    model = mlp(64, 256, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(32, x[:160], y[:160], seed=script.seed), cross_entropy, steps=1000,
        val=lambda: float(cross_entropy(model, vx, vy)), val_every=25,
        score=lambda: right(model, vx, vy), tags=LIGHTNING))  # fmt: skip
    rises(script, "val_loss")


@faulty("overfitting", beside=("plateau",), hook=False)
def noise_learnt_by_heart(script: Script) -> None:
    """A third of the labels is wrong and a convolutional network learns them by heart."""
    x, y, vx, vy = digits(seed=script.seed)
    generator = torch.Generator().manual_seed(script.seed)
    y = torch.where(torch.rand(len(y), generator=generator) < 0.35, (y + 3) % 10, y)
    model = conv(12)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(32, x[:500], y[:500], seed=script.seed), cross_entropy, steps=800,
        val=lambda: float(cross_entropy(model, vx, vy)), val_every=40, tags=CHARTS))  # fmt: skip
    rises(script, "Loss/val")


@faulty("overfitting", beside=("plateau",))
def regression_by_heart(script: Script) -> None:
    """Sixty patients, ten thousand weights."""
    x, y = diabetes()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(script.seed))
    x, y = x[order], y[order]
    model = mlp(10, 100, 100, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(20, x[:60], y[:60], seed=script.seed), squared, steps=900,
        val=lambda: float(squared(model, x[100:], y[100:])), val_every=30, tags=BARE))  # fmt: skip
    rises(script, "val_loss")


@faulty("gradient_noise", severity="info", beside=("plateau",), advice="batch")
def one_example_at_a_time(script: Script) -> None:
    """Batches of one, half of the targets noise: gradients point everywhere."""
    x, y = teacher(script.seed, noise=2.0)
    model = mlp(16, 32, 1)
    fit(script, Plan(model, torch.optim.SGD(model.parameters(), 2e-3),
        batches(1, x, y, seed=script.seed), squared, steps=1500))  # fmt: skip
    script.onset(int(TOO_SOON * 1500), known=False)


@faulty(
    "gradient_noise",
    or_else=("not_learning", "slow_learning"),
    severity="info",
    beside=("plateau", "loss_spike"),
)
def two_examples_with_wrong_labels(script: Script) -> None:
    """Batches of two, of which half the labels are wrong, anew each time.

    At first its loss is that of guessing, and then it creeps down: that it is noise which holds
    it up, and not the rate, nobody can see in loss and norms.
    """
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 32, 10)

    def noise(_: int, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        wrong = torch.rand(2) < 0.6
        return batch[0], torch.where(wrong, torch.randint(0, 10, (2,)), batch[1])

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-4),
        batches(2, x, y, seed=script.seed, change=noise), cross_entropy, steps=1500,
        tags=Tags(norm="train/grad_norm")))  # fmt: skip
    script.onset(int(TOO_SOON * 1500), known=False)


@faulty("model_audit", beside=("slow_learning", "plateau"), severity="info", advice="softmax")
def softmax_twice(script: Script) -> None:
    """A softmax as the last layer, under a cross-entropy that applies its own."""
    x, y, _, _ = digits(seed=script.seed)
    model = nn.Sequential(mlp(64, 64, 10), nn.Softmax(dim=1))
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=500, tags=CHARTS))  # fmt: skip


@faulty(
    "model_audit",
    or_else=("dead_units",),
    beside=("plateau", "slow_learning"),
    severity="info",
    advice="activation|output",
)
def activation_at_the_end(script: Script) -> None:
    """A ReLU after the output of a regression whose targets are negative half of the time."""
    x, y = teacher(script.seed)
    model = nn.Sequential(*mlp(16, 48, 1).children(), nn.ReLU())
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), squared, steps=500))  # fmt: skip


@faulty("model_audit", beside=("slow_learning", "plateau"), severity="info", advice="bias")
def no_biases(script: Script) -> None:
    """Linear layers without a bias, and no normalisation after them."""
    x, y, _, _ = digits(seed=script.seed)
    first, second, third = (nn.Linear(a, b, bias=False) for a, b in ((64, 64), (64, 64), (64, 10)))
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), lambda m, a, b: F.cross_entropy(m(a), b),
        steps=500))  # fmt: skip
