"""Healthy: other ways to make a step, of other sizes, in other precisions, after a pause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Transformer, conv, mlp, resnet
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, squared, teacher, text


class _Lion(torch.optim.Optimizer):
    """Steps of one size, whose direction is the sign of a mean."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_((0.9 * mean + 0.1 * p.grad).sign(), alpha=-group["lr"])
                mean.lerp_(p.grad, 0.01)


@healthy()
def signs_of_lion(script: Script) -> None:
    """Lion at a tenth of Adam's rate with ten times its weight decay."""
    x = text(script.seed)
    model = Transformer(depth=2)
    optimizer = _Lion(model.parameters(), 2e-4, 0.5)
    source = batches(32, x[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 350,
        Log(script, "train/loss", optimizer, "train/learning_rate", every=2), clip=1.0,
        schedule=lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 350),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy()
def adafactor_in_parts_of_the_weights(script: Script) -> None:
    """Adafactor, whose steps are parts of the weights' own size."""
    x = text(script.seed)
    model = Transformer(depth=2)
    optimizer = torch.optim.Adafactor(model.parameters(), 1e-2)
    source = batches(32, x[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 300,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy()
def layers_that_trust_themselves(script: Script) -> None:
    """LARS on batches of 700: each layer moves by two parts in a hundred of itself at most."""
    x, y, _, _ = digits(seed=script.seed)
    model = resnet(8, 2)
    optimizer = torch.optim.SGD(model.parameters(), 1.0, momentum=0.9)
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 120, pct_start=0.15, cycle_momentum=False)
    source = batches(700, x, y, seed=script.seed)

    def trust() -> None:
        for p in model.parameters():
            if p.grad is None:
                continue
            if p.ndim > 1:
                p.grad.add_(p.detach(), alpha=1e-4)
                p.grad.mul_(0.02 * p.detach().norm() / (p.grad.norm() + 1e-9))
            else:
                p.grad.mul_(0.05)

    with script.watch(model, optimizer):
        for step in range(120):
            loss = cross_entropy(model, *next(source))
            optimizer.zero_grad()
            loss.backward()
            trust()
            optimizer.step()
            schedule.step()
            script.clock.sleep(1.0)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/lr", optimizer.param_groups[0]["lr"], step)


@healthy()
def muon_for_the_matrices(script: Script) -> None:
    """Muon, whose steps have all directions alike, for the matrices, and AdamW for the rest."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 96, 96, 96, 10, act=nn.GELU)
    one = torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], 0.01)
    two = torch.optim.AdamW([p for p in model.parameters() if p.ndim < 2], 1e-3)
    source = batches(64, x, y, seed=script.seed)
    with script.watch(model, [one, two]):
        for step in range(400):
            loss = cross_entropy(model, *next(source))
            one.zero_grad()
            two.zero_grad()
            loss.backward()
            one.step()
            two.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            if (step + 1) % 50 == 0:
                with torch.no_grad():
                    script.scalar("val/loss", float(cross_entropy(model, vx, vy)), step)


@healthy()
def gentler_towards_the_input(script: Script) -> None:
    """Fine-tuning with the rate times 0.65 for each layer further from the head."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, *[48] * 5, 10)
    first = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y % 5, seed=script.seed)
    for _ in range(200):
        first.zero_grad()
        cross_entropy(model, *next(source)).backward()
        first.step()
    assert isinstance(model, nn.Sequential)
    model[-1] = nn.Linear(48, 10)
    layers = [m for m in model if isinstance(m, nn.Linear)]
    groups = [{"params": layer.parameters(), "lr": 1e-3 * 0.65 ** (len(layers) - 1 - i)}
        for i, layer in enumerate(layers)]  # fmt: skip
    optimizer = torch.optim.AdamW(groups)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 350,
        Log(script, "train/loss", optimizer, "train/learning_rate"),
        schedule=lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 350),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy()
def resumed_with_everything(script: Script) -> None:
    """Preempted at step 230 and resumed at 231 with weights, momenta, schedule and scaler."""
    x, y, vx, vy = digits(seed=script.seed)
    source = batches(32, x, y, seed=script.seed)
    kept: dict[str, Any] = {}
    for first, last in ((0, 231), (231, 500)):
        model = conv(8)
        optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, 500)
        scaler = torch.amp.GradScaler("cpu", growth_interval=100)
        things: dict[str, Any] = {"m": model, "o": optimizer, "s": schedule, "c": scaler}
        for name, state in kept.items():
            things[name].load_state_dict(state)

        def loss(_: int, model: nn.Module = model) -> Tensor:
            return cross_entropy(model, *next(source))

        Training(script, model, optimizer, loss, last, Log(script, "train/loss", optimizer,
            "train/lr"), schedule=schedule, first_step=first, scaler=scaler,
            after=every(50, judged(script, model,
                val__loss=lambda model=model: float(cross_entropy(model, vx, vy))))).run()  # type: ignore[misc] # fmt: skip
        kept = {name: thing.state_dict() for name, thing in things.items()}
        script.restart()
        script.clock.sleep(1800)


@healthy()
def losses_in_bfloat16(script: Script) -> None:
    """Autocast to bfloat16, and the loss is logged as it is: in steps of a hundredth."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 128, 64, 10, act=nn.GELU)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(a)
            told = scores.log_softmax(dim=1).bfloat16()
            picked: Tensor = -told[torch.arange(len(b)), b].mean()
            return picked

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss", optimizer,
        "train/lr")).run()  # fmt: skip


@healthy()
def flat_places_sought(script: Script) -> None:
    """SAM: each step looks at the gradient a little uphill from where it is, clipped."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(8, norm=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    with script.watch(model, optimizer):
        for step in range(250):
            a, b = next(source)
            loss = cross_entropy(model, a, b)
            optimizer.zero_grad()
            loss.backward()
            with torch.no_grad():
                grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
                size = torch.stack([g.norm() for g in grads]).norm() + 1e-12
                for p, g in zip(model.parameters(), grads, strict=True):
                    p.add_(g, alpha=0.05 / float(size))
            optimizer.zero_grad()
            cross_entropy(model, a, b).backward()
            with torch.no_grad():
                for p, g in zip(model.parameters(), grads, strict=True):
                    p.sub_(g, alpha=0.05 / float(size))
            optimizer.step()
            script.clock.sleep(0.4)
            script.scalar("train/loss", float(loss), step)


@healthy()
def one_picture_at_a_time(script: Script) -> None:
    """Pictures of 16 by 16 one by one, eight to a step, under group norm: a U-Net finds discs."""
    images, masks = more.discs(script.seed)
    model = more.UNet(channels=4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(1, images, masks, seed=script.seed)
    with script.watch(model, optimizer):
        for step in range(200):
            optimizer.zero_grad()
            total = 0.0
            for _ in range(8):
                a, b = next(source)
                loss = F.binary_cross_entropy_with_logits(model(a), b) / 8
                loss.backward()
                total += float(loss)
            optimizer.step()
            script.clock.sleep(0.5)
            script.scalar("train/loss", total, step)


@healthy(hook=False)
def everything_in_each_batch(script: Script) -> None:
    """Full batches by plain SGD with a good rate: the smoothest curve that there is."""
    x, y = teacher(script.seed, samples=768, noise=0.05)
    model = mlp(16, 32, 1, act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.3, momentum=0.9)
    Training(script, model, optimizer, lambda _: squared(model, x, y), 400,
        Log(script, "loss")).run()  # fmt: skip


@healthy(hook=False)
def two_rates_in_turn(script: Script) -> None:
    """A cyclical rate between a third and three times the usual by RAdam; the loss breathes."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.Mish)
    optimizer = torch.optim.RAdam(model.parameters(), 1e-3)
    schedule = lr_scheduler.CyclicLR(
        optimizer, 3e-4, 3e-3, step_size_up=60, cycle_momentum=False, mode="triangular2"
    )
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss", optimizer, "lr-RAdam"), schedule=schedule).run()  # fmt: skip
