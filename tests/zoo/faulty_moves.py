"""Faults: weights that do not move as they should."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import more
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    next_letter,
    squared,
    teacher,
    text,
)

# Weights that do not move as they should


@faulty("unchanged_weights", advice="optimizer|gradient|detach", beside=("slow_learning", "plateau",
    "vanishing_gradient", "not_learning"))  # fmt: skip
def straight_through_forgotten(script: Script) -> None:
    """A VQ-VAE without the straight-through estimator: no gradient ever reaches the encoder."""
    x, _, _, _ = digits(seed=script.seed)
    model = more.Quantised(straight=False)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        out, to_code, _ = model(a)
        total: Tensor = F.mse_loss(out, a) + to_code
        return total

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss")).run()


@faulty("unchanged_weights", or_else=("dead_units", "vanishing_gradient", "update_ratio"),
    beside=("plateau", "slow_learning"))  # fmt: skip
def router_has_a_favourite(script: Script) -> None:
    """A mixture of experts without load balancing: all goes to one, the others never learn."""
    x, y = teacher(script.seed, samples=2048)
    model = more.Experts(experts=6, best=1)
    with torch.no_grad():
        model.router.bias[2] = 6.0  # as it came out of a bad warm-up
        model.router.weight.mul_(0.1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        out, _ = model(a)
        return F.huber_loss(out, b)

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss")).run()


@faulty("update_ratio", or_else=("slow_learning", "not_learning", "unchanged_weights"),
    severity="info", beside=("plateau", "vanishing_gradient"))  # fmt: skip
def rates_decayed_by_layer(script: Script) -> None:
    """Layer-wise decay of the rate by a hundredth per layer, over four: the first do not move."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 48, 48, 48, 10, act=nn.GELU)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    groups = [{"params": layer.parameters(), "lr": 1e-3 * 0.01 ** (len(layers) - 1 - i)}
        for i, layer in enumerate(layers)]  # fmt: skip
    optimizer = torch.optim.AdamW(groups)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@faulty("update_ratio", or_else=("slow_learning", "not_learning", "unchanged_weights"),
    severity="info", beside=("plateau",))  # fmt: skip
def epsilon_of_one(script: Script) -> None:
    """Adam with an epsilon of 1: where gradients are small it is SGD at a thousandth."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, eps=1.0)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip


@faulty("update_ratio", or_else=("not_learning", "plateau", "vanishing_gradient", "dead_units"),
    severity="info", beside=("slow_learning", "oscillation", "saturated_units",
    "unchanged_weights", "divergence"))  # fmt: skip
def weight_decay_of_fifty(script: Script) -> None:
    """AdamW with a weight decay of 50 at a rate of 0.003: the weights die away, ln 10 is left.

    Until then it learns a little, which is lost again for good: it does diverge.
    """
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10, act=nn.SiLU)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=50.0)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "loss", optimizer, "lr")).run()  # fmt: skip


AFTER = ("loss_spike", "divergence", "exploding_gradient", "oscillation", "update_ratio",
    "slow_learning", "plateau")  # fmt: skip


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def optimizer_made_anew_each_epoch(script: Script) -> None:
    """The optimizer is made inside the loop over epochs: Adam forgets all, seven times."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 64, 1, act=nn.GELU)
    source = batches(256, x, y, seed=script.seed)
    for epoch in range(8):
        optimizer = torch.optim.Adam(model.parameters(), 8e-3)
        Training(script, model, optimizer, lambda _: squared(model, *next(source)),
            150 * (epoch + 1), Log(script, "train/loss", optimizer, "train/lr"),
            first_step=150 * epoch).run()  # fmt: skip
    script.onset(150)


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def rmsprop_resumed_without_its_state(script: Script) -> None:
    """A tagger resumed from its weights alone: RMSprop's first step is ten times too long."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    source = batches(32, words, tags, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    for first, last in ((0, 300), (300, 600)):
        optimizer = torch.optim.RMSprop(model.parameters(), 3e-3)
        Training(script, model, optimizer, loss, last, Log(script, "train/loss", optimizer,
            "train/learning_rate"), first_step=first).run()  # fmt: skip
        script.restart()
        script.clock.sleep(400)
    script.onset(300)


SCALING = ("nonfinite", "not_learning", "slow_learning", "plateau", "unchanged_weights",
    "divergence")  # fmt: skip


def _scaled(script: Script, at: int) -> None:
    """Signals standardised one by one without an epsilon, in mixed precision."""
    x, y = more.waves(script.seed, length=32)
    model = more.temporal(act=nn.GELU, inputs=1)
    stretch = nn.Parameter(torch.ones(()))
    whole = nn.ParameterList([*model.parameters(), stretch])
    optimizer = torch.optim.Adam(whole.parameters(), 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=200)
    source = batches(32, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        if step >= at:
            a[0] = 0.0  # the microphone is off
        a = a * stretch
        a = a / a.square().mean(dim=2, keepdim=True).sqrt().clamp(min=1e-12)
        script.scalar("train/loss_scale", scaler.get_scale(), step)
        return F.cross_entropy(model(a), b)

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss"), scaler=scaler).run()
    script.onset(at)


@faulty("loss_scale_collapse", or_else=("nonfinite",), beside=SCALING)
def silent_microphone(script: Script) -> None:
    """Each signal is divided by its own root mean square: silence gives gradients without end."""
    _scaled(script, 150 + 50 * (script.seed % 3))


@faulty("loss_scale_collapse", or_else=("nonfinite",), beside=SCALING, hook=False)
def silent_microphone_from_the_start(script: Script) -> None:
    """The same from the first step, seen only by the scale that the script logs."""
    _scaled(script, 0)
