"""Faults: losses that swing or stand still, and rates that fall too soon."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_leaps import lowest
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    right,
    squared,
    teacher,
)

# Losses that swing


@faulty(
    "oscillation",
    or_else=(*RATE, "loss_spike", "exploding_gradient"),
    beside=(*WILD, "slow_learning"),
)
def gradients_never_cleared(script: Script) -> None:
    """zero_grad() was forgotten: each step follows the sum of all gradients so far."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(6)
    optimizer = torch.optim.SGD(model.parameters(), 5e-3)
    source = batches(32, x, y, seed=script.seed)
    with script.watch(model, optimizer):
        for step in range(600):
            loss = cross_entropy(model, *next(source))
            loss.backward()
            norm = nn.utils.get_total_norm(
                [p.grad for p in model.parameters() if p.grad is not None]
            )
            optimizer.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/grad_norm", float(norm), step)
    lowest(script, "train/loss")


@faulty(
    "oscillation",
    or_else=(*RATE, "loss_spike"),
    beside=(*WILD, "slow_learning"),
    hook=False,
)
def gradients_come_late(script: Script) -> None:
    """Workers that never wait: each gradient is 24 steps old, and the loss swings."""
    x, y = teacher(script.seed, noise=0.05)
    model = mlp(16, 48, 1, act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.06)
    source = batches(128, x, y, seed=script.seed)
    late: deque[list[Tensor]] = deque()
    for step in range(900):
        loss = squared(model, *next(source))
        late.append(list(torch.autograd.grad(loss, list(model.parameters()))))
        if len(late) > 24:
            for p, g in zip(model.parameters(), late.popleft(), strict=True):
                p.grad = g
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        script.clock.sleep(0.1)
        script.scalar("loss", float(loss), step)
    _, curve = script.curve("loss")
    # The first gradients are as good as any; the swing shows when it is well above its start.
    script.onset(int(np.argmax(curve > 1.5 * np.median(curve[:10]))), known=False)


@faulty(
    "oscillation", or_else=("loss_spike", "divergence"), beside=(*WILD, "slow_learning"), hook=False
)
def sorted_by_class(script: Script) -> None:
    """Nobody shuffles and the files lie class by class: a saw with a tooth for each class."""
    x, y, vx, vy = digits(seed=script.seed)
    order = torch.argsort(y, stable=True)
    x, y = x[order], y[order]
    model = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    def loss(step: int) -> Tensor:
        at = 28 * step % 1400
        return cross_entropy(model, x[at : at + 28], y[at : at + 28])

    Training(script, model, optimizer, loss, 1000, Log(script, "train_loss_step"),
        after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy)),
            val_acc=lambda: right(model, vx, vy)))).run()  # fmt: skip


@faulty("oscillation", or_else=(*RATE, "not_learning"), beside=(*WILD, "slow_learning"),
    advice="learning rate")  # fmt: skip
def rmsprop_at_one_half(script: Script) -> None:
    """RMSprop at 0.5 on a GRU: thrown up at once, and in the whole run never below its start."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    optimizer = torch.optim.RMSprop(model.parameters(), 0.5)
    source = batches(32, words, tags, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    Training(script, model, optimizer, loss, 400,
        Log(script, "Loss/train", optimizer, "LR")).run()  # fmt: skip


# Losses that stand still


def _flat(script: Script, tag: str) -> None:
    """The onset: a tenth of the run after the loss has come within 3 % of its fall of its end."""
    steps, loss = script.curve(tag)
    width = max(1, len(loss) // 60)
    middle = np.array([np.median(loss[max(0, i - width) : i + 1]) for i in range(len(loss))])
    end = np.median(loss[len(loss) // 2 :])
    near = middle <= end + 0.03 * (loss[0] - end)
    later = min(len(loss) - 1, int(np.argmax(near)) + len(loss) // 10)
    script.onset(int(steps[later]), known=False)


@faulty("plateau", severity="info", beside=("gradient_noise",))
def stars_at_a_constant_rate(script: Script) -> None:
    """Matrix factorisation at the noise floor of a rate that is never lowered."""
    pairs, stars = more.ratings(script.seed, noise=0.2)
    model = more.Factors()
    optimizer = torch.optim.Adam(model.parameters(), 0.05, weight_decay=1e-3)
    source = batches(32, pairs[:7000], stars[:7000], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 2000,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip
    _flat(script, "train/loss")


@faulty("plateau", severity="info", hook=False)
def bottleneck_of_three(script: Script) -> None:
    """A linear autoencoder with three numbers in the middle: soon it can do no better."""
    x, _, vx, _ = digits(seed=script.seed)
    model = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 64))
    optimizer = torch.optim.NAdam(model.parameters(), 0.02)
    source = batches(64, x, seed=script.seed)

    def error(a: Tensor) -> Tensor:
        return F.huber_loss(model(a), a)

    Training(script, model, optimizer, lambda _: error(*next(source)), 2000,
        Log(script, "train_loss"), after=every(200, judged(script, model,
            val_loss=lambda: float(error(vx))))).run()  # fmt: skip
    _flat(script, "train_loss")


@faulty("plateau", or_else=("not_learning", "update_ratio", "dead_units"), severity="info",
    beside=("vanishing_gradient", "unchanged_weights"))  # fmt: skip
def triplets_collapse(script: Script) -> None:
    """Hardest triplets at a high rate: all is mapped to one point, and the loss is the margin.

    What the hook sees, updates as large as the weights and then dead units, is why.
    """
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 64, 16)
    optimizer = torch.optim.Adam(model.parameters(), 0.06)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        z = model(a)
        apart = ((z[:, None] - z[None]).square().sum(dim=2) + 1e-12).sqrt()
        same = b[:, None] == b[None]
        far = apart.masked_fill(~same, 0).max(dim=1).values
        near = apart.masked_fill(same, 1e9).min(dim=1).values
        total: Tensor = (far - near + 0.5).clamp(min=0).mean()
        return total

    Training(script, model, optimizer, loss, 700, Log(script, "train/triplet_loss")).run()
    _flat(script, "train/triplet_loss")


# Rates that fall too soon


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"),
    advice="decay")  # fmt: skip
def milestones_in_steps(script: Script) -> None:
    """Milestones meant as epochs, and a schedule that steps with every batch: 30, 60, 80."""
    x, y = more.waves(script.seed)
    model = more.temporal(norm=True)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "Loss/train", optimizer, "LR"),
        schedule=lr_scheduler.MultiStepLR(optimizer, [30, 60, 80]),
        after=every(90, judged(script, model,
            Loss__val=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip
    script.onset(80, known=False)


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"),
    advice="decay", hook=False)  # fmt: skip
def plateau_of_the_wrong_mode(script: Script) -> None:
    """ReduceLROnPlateau waits for the loss to rise: it lowers the rate while all goes well."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.3, patience=1)
    source = batches(32, words[:1600], tags[:1600], seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    def validate(step: int) -> None:
        with torch.no_grad():
            told = float(more.tagging(model(words[1600:]), tags[1600:]))
        script.scalar("eval/loss", told, step)
        schedule.step(told)

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss", optimizer,
        "train/learning_rate", every=5, mean=True), after=every(20, validate)).run()  # fmt: skip
    steps, rate = script.curve("train/learning_rate")
    script.onset(int(steps[rate < 0.05 * rate[0]][0]), known=False)


@faulty(
    "early_decay",
    or_else=("slow_learning",),
    beside=("plateau", "update_ratio", "unchanged_weights"),
    advice="decay",
    hook=False,
)
def polynomial_over_epochs(script: Script) -> None:
    """A polynomial decay over 40 epochs that is stepped per batch: zero from step 40 on."""
    images, masks = more.discs(script.seed)
    model = more.UNet()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(16, images, masks, seed=script.seed)

    def loss(_: int) -> Tensor:
        image, mask = next(source)
        scores = model(image)
        return more.overlap(scores, mask) + F.binary_cross_entropy_with_logits(scores, mask)

    Training(script, model, optimizer, loss, 400, Log(script, "train/seg_loss", optimizer,
        "lr/pg0"), schedule=lr_scheduler.PolynomialLR(optimizer, 40, power=0.9)).run()  # fmt: skip
    script.onset(40, known=False)
