"""Healthy runs: what is trained, and on what, changes on the way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler, swa_utils

from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, Vae, conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    cross_entropy,
    digits,
    next_letter,
    right,
    squared,
    teacher,
    tensor,
    text,
)


@healthy(hook=False)
@healthy(hook=False)
def longer_and_longer_horizons(script: Script) -> None:
    """A neural ODE that has to foresee 2, 5, 10 and then 20 steps: each time the loss jumps."""
    rng = script.generator()
    field = mlp(2, 32, 2, act=nn.Tanh)
    turn = tensor([[-0.1, 1.0], [-1.0, -0.1]])
    state = tensor(rng.uniform(-2, 2, (512, 2)))
    path = [state]
    for _ in range(20):
        for _ in range(4):
            state = state + 0.05 * (state**3) @ turn.T / 2
        path.append(state)
    truth = torch.stack(path, dim=1)
    optimizer = torch.optim.Adam(field.parameters(), 3e-3)
    source = batches(64, truth, seed=script.seed)

    def loss(step: int) -> Tensor:
        (seen,) = next(source)
        horizon = (2, 5, 10, 20)[min(3, step // 200)]
        at, total = seen[:, 0], torch.zeros(())
        for i in range(horizon):
            at = at + 0.2 * field(at + 0.1 * field(at))
            total = total + (at - seen[:, i + 1]).square().mean()
        return total

    Training(script, field, optimizer, loss, 1000, Log(script, "train/loss"), clip=1.0).run()


@healthy()
def harder_by_and_by(script: Script) -> None:
    """A curriculum: every 150 steps the digits get noisier, and so the loss rises by design."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 96, 10, act=nn.GELU)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    hardest = vx + 1.25 * torch.randn_like(vx)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        level = 0.25 * (step // 150)
        script.scalar("curriculum/level", level, step)
        return F.cross_entropy(model(a + level * torch.randn_like(a)), b)

    Training(script, model, optimizer, loss, 900, Log(script, "train/loss"),
        after=every(50, judged(script, model,
            val__accuracy=lambda: right(model, hardest, vy)))).run()  # fmt: skip


@healthy()
def unfrozen_layer_by_layer(script: Script) -> None:
    """fastai's way of fine-tuning: the head first, then one layer more every 200 steps."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 64, 10)
    assert isinstance(model, nn.Sequential)
    first = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y % 5, seed=script.seed)
    for _ in range(150):
        first.zero_grad()
        cross_entropy(model, *next(source)).backward()
        first.step()
    model[4] = nn.Linear(64, 10)
    for layer in (model[0], model[2]):
        layer.requires_grad_(False)
    optimizer = torch.optim.Adam(model[4].parameters(), 2e-3)
    source = batches(64, x, y, seed=script.seed)

    def unfreeze(step: int) -> None:
        for at, layer in ((200, model[2]), (400, model[0])):
            if step == at:
                layer.requires_grad_(True)
                optimizer.add_param_group({"params": layer.parameters(), "lr": 2e-4})

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "train_loss", optimizer, "lr_0", smooth=0.98), before=unfreeze,
        after=every(50, judged(script, model,
            valid_loss=lambda: float(cross_entropy(model, vx, vy)),
            accuracy=lambda: right(model, vx, vy)))).run()  # fmt: skip


@healthy()
def averaged_weights(script: Script) -> None:
    """SWA: for the last third the rate goes up again, and the mean of the weights is judged."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 48, 10, act=nn.ELU)
    average = swa_utils.AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, weight_decay=1e-3)
    swa = swa_utils.SWALR(optimizer, 0.05, anneal_epochs=20)
    usual = lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    source = batches(32, x, y, seed=script.seed)

    def after(step: int) -> None:
        if step < 600:
            usual.step()
        else:
            swa.step()
            average.update_parameters(model)
        if (step + 1) % 60 == 0:
            judge = average if step >= 600 else model
            with torch.no_grad():
                script.scalar("val_loss", float(cross_entropy(judge, vx, vy)), step)

    def noisy(_: int) -> Tensor:
        a, b = next(source)
        return F.cross_entropy(model(a + 0.7 * torch.randn_like(a)), b)

    Training(script, model, optimizer, noisy, 900,
        Log(script, "train_loss", optimizer, "lr-SGD"), after=after).run()  # fmt: skip


@healthy(hook=False)
def augmentation_off_at_the_end(script: Script) -> None:
    """Strong noise and mixing up to the last fifth, then clean: the loss falls off a cliff."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(8)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        if step >= 600:
            return cross_entropy(model, a, b)
        part = float(torch.rand(()))
        a = part * a + (1 - part) * a.flip(0) + 0.5 * torch.randn_like(a)
        scores = model(a)
        return part * F.cross_entropy(scores, b) + (1 - part) * F.cross_entropy(scores, b.flip(0))

    def validate(step: int) -> None:
        with torch.no_grad():
            script.scalar("val/cls_loss", float(cross_entropy(model, vx, vy)), step // 25)
            script.scalar("metrics/accuracy_top1", right(model, vx, vy), step // 25)

    Training(script, model, optimizer, loss, 750,
        Log(script, "train/cls_loss", optimizer, "lr/pg0", every=25, mean=True, counted=True),
        after=every(25, validate)).run()  # fmt: skip


@healthy()
def batches_that_grow(script: Script) -> None:
    """Batches of 8, then 32, then 128 instead of a lower rate: the noise shrinks in steps."""
    x, y = teacher(script.seed, samples=2048, noise=0.4)
    model = mlp(16, 48, 1, act=nn.SiLU)
    optimizer = torch.optim.RMSprop(model.parameters(), 2e-4)
    sources = [batches(size, x, y, seed=script.seed) for size in (8, 32, 128)]

    def loss(step: int) -> Tensor:
        script.scalar("batch_size", (8, 32, 128)[min(2, step // 300)], step)
        return squared(model, *next(sources[min(2, step // 300)]))

    Training(script, model, optimizer, loss, 900, Log(script, "training_loss")).run()


@healthy()
def sequences_that_grow(script: Script) -> None:
    """A language model sees 4, then 8, then 16 letters: it knows more, and a step takes longer."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, betas=(0.9, 0.95))
    source = batches(32, x[:1800], seed=script.seed)

    def loss(step: int) -> Tensor:
        length = (4, 8, 16)[min(2, step // 150)]
        script.clock.sleep(0.002 * length)
        return next_letter(model, next(source)[0][:, :length])

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss", optimizer,
        "train/learning_rate", "train/grad_norm", every=10), clip=1.0,
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy(hook=False)
def divergence_term_in_cycles(script: Script) -> None:
    """A VAE whose KL term is switched on and off in cycles: the total loss is a saw."""
    x, _, _, _ = digits(seed=script.seed)
    model = Vae()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, mean, logvar = model(a)
        error = (out - a).square().sum(dim=1).mean()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=1).mean()
        beta = min(1.0, 2 * (step % 250) / 250)
        script.scalar("beta", beta, step)
        script.scalar("reconstruction", float(error.detach()), step)
        total: Tensor = error + beta * kl
        return total

    Training(script, model, optimizer, loss, 1000, Log(script, "loss")).run()
