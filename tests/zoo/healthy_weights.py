"""Healthy: weights that rest for a while, narrow numbers, tight clips, scores that are great."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import more
from tests.zoo.faulty_weights import Reader
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, tensor, text


@healthy()
def weights_in_sixteen_bits(script: Script) -> None:
    """Weights in bfloat16 at Adam's 0.002: many a sum rounds back, and it learns all the same."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10).to(torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x.to(torch.bfloat16), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)).float(), 500,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, vx.bfloat16(), vy))))).run()  # fmt: skip


@healthy()
def thirty_steps_at_no_rate(script: Script) -> None:
    """The first thirty steps have a rate of exactly zero, to fill batch norm's averages."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10, norm=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)

    def begin(step: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.05 if step >= 30 else 0.0

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/lr"), before=begin,
        after=every(50, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def margins_that_are_met(script: Script) -> None:
    """A verifier, trained before, goes on with pairs whose margins are mostly met: no gradient."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 48, 16)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    rng = script.generator(3)

    def loss(_: int) -> Tensor:
        a, b = (torch.from_numpy(rng.integers(0, len(x), 16)) for _ in range(2))
        away = (model(x[a]) - model(x[b])).pow(2).sum(dim=1)
        return torch.where(y[a] == y[b], F.relu(away - 2.0), F.relu(4.0 - away)).mean()

    for _ in range(1500):
        optimizer.zero_grad()
        loss(0).backward()
        optimizer.step()
    Training(script, model, optimizer, loss, 500, Log(script, "train/loss", optimizer,
        "train/lr")).run()  # fmt: skip


@healthy()
def clipped_tightly_under_adam(script: Script) -> None:
    """Gradients clipped to 0.001 at every step, which Adam does not mind."""
    x = text(script.seed)
    model = Transformer(depth=2)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/lr", "train/grad_norm"),
        clip=1e-3).run()  # fmt: skip


@healthy()
def gains_that_begin_at_a_tenth(script: Script) -> None:
    """Norms whose gains begin at a tenth and are decayed with all else, as AdamW has it."""
    x = text(script.seed)
    model = Transformer(depth=2)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, 0.1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.1)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@healthy()
def attention_that_points(script: Script) -> None:
    """Which letter stands at the place that the first one names: attention is one-hot, rightly."""
    rng = script.generator()
    letters = rng.integers(0, 3, size=(4096, 9))
    letters[:, 0] = 3 + rng.integers(0, 8, size=4096)
    picked = letters[range(4096), letters[:, 0] - 2]
    model = Reader(11, 64, 8.0)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.0)
    source = batches(64, torch.from_numpy(letters), torch.from_numpy(picked), seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@healthy()
def two_towers_of_a_tenth(script: Script) -> None:
    """Viewers and films as embeddings of width 0.1: the first products are all but zero."""
    rng = script.generator()
    users, items = rng.normal(size=(200, 4)), rng.normal(size=(150, 4))
    pairs = rng.integers(0, (200, 150), size=(16000, 2))
    liked = ((users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) > 0).astype("float32")
    model = nn.ModuleList([nn.Embedding(200, 16), nn.Embedding(150, 16)])
    for table in model:
        nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(128, torch.from_numpy(pairs), torch.from_numpy(liked), seed=script.seed)

    def loss(_: int) -> Tensor:
        who, yes = next(source)
        scores = (model[0](who[:, 0]) * model[1](who[:, 1])).sum(dim=1)
        return F.binary_cross_entropy_with_logits(scores, yes)

    Training(script, model, optimizer, loss, 600, Log(script, "train/bce", optimizer,
        "train/lr")).run()  # fmt: skip


@healthy()
def pictures_and_captions_told_coldly(script: Script) -> None:
    """CLIP's loss between two encoders at a temperature of 0.03: the first scores lie far apart."""
    rng = script.generator()
    meant = rng.normal(size=(4096, 12))
    views = [tensor(meant @ rng.normal(size=(12, 24)) / 3.5 + 0.3 * rng.normal(size=(4096, 24)))
        for _ in range(2)]  # fmt: skip
    model = nn.ModuleList([mlp(24, 64, 32), mlp(24, 64, 32)])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(64, *views, seed=script.seed)
    same = torch.arange(64)

    def loss(_: int) -> Tensor:
        a, b = (F.normalize(tower(view), dim=1)
            for tower, view in zip(model, next(source), strict=True))  # fmt: skip
        scores = a @ b.T / 0.03
        return (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss", optimizer,
        "train/lr")).run()  # fmt: skip


@healthy()
def head_at_its_prior(script: Script) -> None:
    """A last bias at -4.6 for rare positives, the two kinds weighted alike, as detectors do it."""
    images, masks = more.discs(script.seed)
    model = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 1))  # fmt: skip
    head = model[-1]
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    nn.init.constant_(head.bias, -4.6)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(16, images, masks, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        scores, yes = model(a).flatten(), b.flatten() > 0.5
        one, none = torch.ones(int(yes.sum())), torch.zeros(int((~yes).sum()))
        return (F.binary_cross_entropy_with_logits(scores[yes], one)
            + F.binary_cross_entropy_with_logits(scores[~yes], none))  # fmt: skip

    Training(script, model, optimizer, loss, 400, Log(script, "train/loss", optimizer,
        "train/lr")).run()  # fmt: skip
