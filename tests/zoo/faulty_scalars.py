"""Faults that nothing but the logged curves show: other causes, no hook."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_numbers import BROKEN, first_bad
from tests.zoo.faulty_progress import STILL, TOO_SOON
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, squared, teacher, text


def _lowest(script: Script, tag: str, width: int = 20) -> None:
    """The onset: the loss is lowest there, as a mean over ``width`` points."""
    steps, loss = script.curve(tag)
    means = np.convolve(loss, np.ones(width) / width, "valid")
    script.onset(int(steps[int(np.argmin(means)) + width - 1]), known=False)


@faulty("divergence", or_else=RATE, beside=(*WILD, "loss_spike"), advice="learning rate",
    hook=False)  # fmt: skip
def decay_above_one(script: Script) -> None:
    """A decay of 1.012 where 0.988 was meant: the rate grows a thousandfold in 600 steps."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        schedule=lr_scheduler.ExponentialLR(optimizer, 1.012)).run()  # fmt: skip
    _lowest(script, "train/loss")


@faulty("oscillation", or_else=(*RATE, "loss_spike", "not_learning"), beside=(*WILD,
    "slow_learning", "plateau"), hook=False)  # fmt: skip
def momentum_of_three_nines(script: Script) -> None:
    """A momentum of 0.999: the weights swing past the goal and back, a hundred steps each way."""
    x, y = teacher(script.seed, noise=0.05)
    model = nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), 2e-3, momentum=0.999)
    source = batches(128, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1000,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@faulty("slow_learning", or_else=("not_learning",), severity="info", beside=("plateau",),
    hook=False)  # fmt: skip
def mean_of_a_mean(script: Script) -> None:
    """The loss is divided by the batch twice under SGD: its steps are a sixty-fourth as long."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    source = batches(64, x, y, seed=script.seed)
    log = Log(script, "train/loss", optimizer, "train/lr")

    def told(step: int, value: float, norm: float) -> None:
        log(step, 64 * value, norm)

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)) / 64, 900,
        told, after=every(90, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip
    script.onset(int(TOO_SOON * script.note.last), known=False)


@faulty("plateau", severity="info", beside=("gradient_noise",), hook=False)
def half_of_the_causes_missing(script: Script) -> None:
    """Half of what the target hangs on is not among the inputs: a high floor, soon reached."""
    x, y = teacher(script.seed, samples=20000)
    model = mlp(8, 48, 1, act=nn.SiLU)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    source = batches(128, x[:, :8].contiguous(), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1500,
        Log(script, "train/mse")).run()  # fmt: skip
    steps, loss = script.curve("train/mse")
    middle = np.array([np.median(loss[max(0, i - 25) : i + 1]) for i in range(len(loss))])
    end = np.median(loss[len(loss) // 2 :])
    near = middle <= end + 0.03 * (loss[0] - end)
    script.onset(int(steps[int(np.argmax(near))]) + len(loss) // 10, known=False)


@faulty("overfitting", beside=("plateau",), hook=False)
def forty_sentences(script: Script) -> None:
    """A transformer of two layers learns forty sentences by heart."""
    x = text(script.seed)
    model = Transformer(depth=2)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(20, x[:40], seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        after=every(20, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1500:]))))).run()  # fmt: skip
    steps, loss = script.curve("eval/loss")
    script.onset(int(steps[int(np.argmin(loss))]), known=False)


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau",), advice="decay", hook=False)
def decay_counted_in_micro_batches(script: Script) -> None:
    """A cosine that is stepped at each of eight micro-batches: over after an eighth of the run."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.GELU, norm=True)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = lr_scheduler.LambdaLR(optimizer,
        lambda n: 0.5 + 0.5 * float(np.cos(np.pi * min(1.0, 8 * n / 700))))  # fmt: skip
    source = batches(32, x, y, seed=script.seed)
    Training(
        script,
        model,
        optimizer,
        lambda _: cross_entropy(model, *next(source)),
        700,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        schedule=schedule,
    ).run()
    script.onset(88, known=False)


@faulty("not_learning", severity="info", beside=STILL, hook=False)
def labels_of_the_example_before(script: Script) -> None:
    """An iterator that is one ahead: each picture is given the label of the one before it."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 48, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.cross_entropy(model(a), b.roll(1))

    Training(script, model, optimizer, loss, 600, Log(script, "Loss/train", optimizer, "LR"),
        after=every(60, judged(script, model,
            Loss__val=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip
    script.onset(int(TOO_SOON * script.note.last), known=False)


@faulty("loss_spike", or_else=("divergence", "oscillation"), beside=("exploding_gradient",
    "overfitting"), severity="info", hook=False)  # fmt: skip
def some_targets_in_millimetres(script: Script) -> None:
    """Three of fifteen hundred targets are in millimetres, all others in metres."""
    x, y = teacher(script.seed, samples=1536)
    y = y + 1.0
    y[:3] *= 1000
    model = mlp(16, 48, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(16, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 900,
        Log(script, "train/loss", norm="train/grad_norm"), clip=1.0).run()  # fmt: skip
    steps, loss = script.curve("train/loss")
    script.onset(int(steps[loss > 100 * np.median(loss)][0]), known=False)


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "oscillation"), hook=False)
def entropy_of_the_certain(script: Script) -> None:
    """An entropy written as p log p, in fp16: once something is certain, zero times infinity."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        scores = 6 * model(a)
        chance = scores.softmax(dim=1).half()
        entropy = -(chance * chance.log()).float().sum(dim=1).mean()
        total: Tensor = F.cross_entropy(scores, b) + 0.01 * entropy
        return total

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss")).run()
    first_bad(script, "train/loss")
