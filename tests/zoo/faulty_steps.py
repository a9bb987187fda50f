"""Faults of the step: weights that do not move as they should, a state that is lost, overflow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_moves import AFTER
from tests.zoo.faulty_numbers import BROKEN, first_bad
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training
from tests.zoo.networks import Transformer, conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, squared, teacher, text

STANDS = ("slow_learning", "plateau", "vanishing_gradient", "not_learning")


@faulty("unchanged_weights", advice="optimizer|gradient|detach|no_grad", beside=STANDS)
def encoder_under_no_grad(script: Script) -> None:
    """The encoder runs under no_grad, as it did when it was frozen, and is meant to be trained."""
    x, y, _, _ = digits(seed=script.seed)
    encoder, head = mlp(64, 64, 32, act=nn.GELU), mlp(32, 32, 10, act=nn.GELU)
    model = nn.ModuleDict({"encoder": encoder, "head": head})
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        with torch.no_grad():
            z = encoder(a)
        return F.cross_entropy(head(z), b)

    Training(script, model, optimizer, loss, 350, Log(script, "train/loss", optimizer,
        "train/learning_rate")).run()  # fmt: skip


@faulty("unchanged_weights", advice="optimizer|gradient|detach|no_grad", beside=STANDS)
def words_picked_by_argmax(script: Script) -> None:
    """A generator's words are picked by argmax before they are judged: it never learns."""
    letters = text(script.seed)
    writer = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, 16 * 12))
    reader = nn.Sequential(nn.Embedding(12, 16), nn.Flatten(), nn.Linear(256, 32), nn.ReLU(),
        nn.Linear(32, 1))  # fmt: skip
    model = nn.ModuleDict({"writer": writer, "reader": reader})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, letters, seed=script.seed)

    def loss(_: int) -> Tensor:
        (real,) = next(source)
        words = writer(torch.randn(32, 8)).reshape(32, 16, 12).argmax(dim=2)
        fooled = F.softplus(-reader(words)).mean()
        told: Tensor = F.softplus(-reader(real)).mean() + 0.2 * fooled
        return told

    Training(script, model, optimizer, loss, 350, Log(script, "train/loss")).run()


@faulty("update_ratio", or_else=(*RATE, "not_learning", "loss_spike"), beside=(*WILD, "plateau"),
    advice="learning rate")  # fmt: skip
def head_rate_for_the_whole(script: Script) -> None:
    """A trained language model is fine-tuned at 0.1 by Adam, the rate that its head had."""
    x = text(script.seed)
    model = Transformer(depth=2)
    first = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(32, x, seed=script.seed)
    for _ in range(120):
        first.zero_grad()
        next_letter(model, *next(source)).backward()
        first.step()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    other = batches(32, text(script.seed + 50), seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(other)), 250,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
        clip=1.0).run()  # fmt: skip


@faulty("update_ratio", or_else=("slow_learning", "not_learning", "unchanged_weights"),
    severity="info", beside=("plateau", "vanishing_gradient"))  # fmt: skip
def factor_between_two_parts(script: Script) -> None:
    """Features are divided by a million on their way to the head, under SGD: they stay as made."""
    x, y, _, _ = digits(seed=script.seed)
    body, head = mlp(64, 64, 48, act=nn.ELU), mlp(48, 48, 10, act=nn.ELU)
    model = nn.ModuleDict({"body": body, "head": head})
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        z = body(a)
        z = z.detach() + 1e-7 * (z - z.detach())
        return F.cross_entropy(head(z), b)

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss", optimizer,
        "train/lr")).run()  # fmt: skip


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def preempted_twice(script: Script) -> None:
    """Weights and schedule are restored each time, AdamW's moments are not."""
    x = text(script.seed)
    model = Transformer(depth=1)
    source = batches(32, x, seed=script.seed)
    for first, last in ((0, 170), (170, 340), (340, 500)):
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        for group in optimizer.param_groups:
            group["initial_lr"] = 3e-3
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, 500, last_epoch=first - 1)
        Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), last,
            Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
            clip=1.0, schedule=schedule, first_step=first).run()  # fmt: skip
        script.restart()
        script.clock.sleep(600)
    script.onset(170)


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def momentum_left_behind(script: Script) -> None:
    """SGD with a momentum of 0.98 goes on from a checkpoint that holds the weights only."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(8, norm=True)
    source = batches(64, x, y, seed=script.seed)
    for first, last in ((0, 240), (240, 480)):
        optimizer = torch.optim.SGD(model.parameters(), 5e-3, momentum=0.98)
        Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), last,
            Log(script, "train/loss", optimizer, "train/lr"), first_step=first).run()  # fmt: skip
        script.restart()
        script.clock.sleep(300)
    script.onset(240)


class _Whitened(nn.Module):
    """Divides by the batch's own spread, without an epsilon."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(dim=0)) / x.std(dim=0)


@faulty("nonfinite", severity="critical", beside=BROKEN)
def norm_without_an_epsilon(script: Script) -> None:
    """A norm written by hand, over a feature that is rarely on: in one batch it is never on."""
    x, y = teacher(script.seed)
    rare = (torch.rand(len(x), 1) < 0.12).float()
    model = nn.Sequential(_Whitened(), mlp(17, 48, 1, act=nn.GELU))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, torch.cat([x, rare], dim=1), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip
    first_bad(script, "train/loss")


@faulty("model_audit", severity="info", beside=("slow_learning", "plateau"))
def sigmoid_before_logits(script: Script) -> None:
    """A sigmoid as the last layer, under a binary cross-entropy that applies its own."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 24), nn.Linear(24, 12), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(32, bags, labels, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss")).run()
