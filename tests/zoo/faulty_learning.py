"""Faults: nothing is learnt, too little, or all by heart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_progress import STILL, TOO_SOON, above_its_least, rises
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Recurrent, Transformer, conv
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    next_letter,
    right,
    squared,
    tensor,
    text,
)

# Nothing is learnt


def _nothing(script: Script) -> None:
    script.onset(int(TOO_SOON * script.note.last), known=False)


@faulty("not_learning", severity="info", beside=STILL)
def mask_the_wrong_way_round(script: Script) -> None:
    """The padding mask is inverted: the encoder sees the padding and none of the words."""
    x, y = more.counted(script.seed)
    x = torch.cat([x + 1, torch.zeros_like(x[:, :6])], dim=1)
    model = more.Encoder(letters=7, depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    source = batches(32, x[:1800], y[:1800], seed=script.seed)

    def loss(a: Tensor, b: Tensor) -> Tensor:
        out = model.layers(model.embed(a), src_key_padding_mask=a != 0)
        return F.cross_entropy(model.head(out[:, -6:].mean(dim=1)), b)

    Training(script, model, optimizer, lambda _: loss(*next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"), clip=1.0,
        after=every(50, judged(script, model,
            eval__loss=lambda: float(loss(x[1800:], y[1800:]))))).run()  # fmt: skip
    _nothing(script)


@faulty("not_learning", severity="info", or_else=("vanishing_gradient",),
    beside=(*STILL, "saturated_units"), hook=False)  # fmt: skip
def too_long_a_memory(script: Script) -> None:
    """A plain RNN has to recall the first of ninety inputs: ln 2 for ever."""
    rng = script.generator()
    x = rng.normal(size=(1024, 90, 2))
    y = torch.from_numpy((x[:, 0, 0] > 0).astype(np.int64))
    model = Recurrent("RNN", inputs=2, width=16)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    source = batches(64, tensor(x), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "loss", optimizer, "lr")).run()  # fmt: skip
    _nothing(script)


@faulty(
    "not_learning",
    severity="info",
    or_else=(*RATE, "vanishing_gradient", "plateau", "update_ratio"),
    beside=(*WILD, *STILL),
)
def post_norm_without_warm_up(script: Script) -> None:
    """Four post-norm layers at a rate of 0.05 from the first step: it never gets off the ground."""
    x, y = more.counted(script.seed, length=10)
    model = more.Encoder(depth=4, first=False)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 250,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip
    _nothing(script)


# Too little is learnt


@faulty("slow_learning", severity="info", beside=("update_ratio",))
def adagrad_at_a_low_rate(script: Script) -> None:
    """Adagrad at 0.0005, whose steps get smaller by themselves: it creeps."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 16), nn.Linear(16, 12))
    optimizer = torch.optim.Adagrad(model.parameters(), 5e-4)
    source = batches(64, bags[:1000], labels[:1000], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 1500,
        Log(script, "train/bce_loss", optimizer, "train/lr"), after=every(100, judged(script,
            model, val__bce_loss=lambda: float(error(bags[1000:], labels[1000:]))))
    ).run()  # fmt: skip
    _nothing(script)


@faulty("slow_learning", or_else=("not_learning",), severity="info",
    beside=("update_ratio", "plateau", "unchanged_weights"), hook=False)  # fmt: skip
def warm_up_of_a_million_steps(script: Script) -> None:
    """The warm-up was counted in tokens: at the end the rate is at a five-hundredth."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 400_000)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 700,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm", every=5),
        clip=1.0, schedule=schedule).run()  # fmt: skip
    _nothing(script)


@faulty(
    "slow_learning",
    or_else=("update_ratio", "not_learning", "unchanged_weights"),
    severity="info",
    beside=("plateau",),
)
def clipped_to_almost_nothing(script: Script) -> None:
    """Gradients clipped to 0.0005 where 0.5 was meant, under plain SGD."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(6)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "train/loss", norm="train/grad_norm"), clip=5e-4,
        after=every(70, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip
    _nothing(script)


# Learnt by heart


@faulty("overfitting", beside=("plateau",), hook=False)
def forty_factors_per_film(script: Script) -> None:
    """Matrix factorisation of rank 40 without decay: the test error falls and then climbs."""
    pairs, stars = more.ratings(script.seed, count=5000, noise=0.8)
    model = more.Factors(rank=40)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    source = batches(128, pairs[:3500], stars[:3500], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1200,
        Log(script, "loss/train"), after=every(30, judged(script, model,
            loss__test=lambda: float(squared(model, pairs[3500:], stars[3500:]))))
    ).run()  # fmt: skip
    rises(script, "loss/test")


@faulty("overfitting", beside=("plateau",), hook=False)
def few_documents(script: Script) -> None:
    """Two hundred documents and a wide embedding bag, by epochs as Keras logs them."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, 12))  # fmt: skip
    optimizer = torch.optim.NAdam(model.parameters(), 2e-3)
    source = batches(20, bags[:200], labels[:200], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    told: list[float] = []

    def validate(step: int) -> None:
        with torch.no_grad():
            told.append(float(error(bags[600:], labels[600:])))
        script.scalar("epoch_loss", told[-1], step // 10, "validation")

    Training(script, model, optimizer, lambda _: error(*next(source)), 600,
        Log(script, "epoch_loss", every=10, mean=True, counted=True, place="train"),
        after=every(10, validate)).run()  # fmt: skip
    script.onset(above_its_least(np.array(told)), known=False)


@faulty("overfitting", beside=("plateau", "gradient_noise"))
def few_signals(script: Script) -> None:
    """Sixty signals for a network of dilated convolutions: it learns their noise."""
    x, y = more.waves(script.seed, length=32)
    x = x + 0.6 * torch.randn_like(x)
    model = more.temporal(channels=32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(20, x[:60], y[:60], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss_step"), after=every(20, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[600:], y[600:])),
            val_acc=lambda: right(model, x[600:], y[600:])))).run()  # fmt: skip
    rises(script, "val_loss")
