"""Faults, once more of layers: starts, rates and parts that are wrong in other networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_moves import AFTER
from tests.zoo.faulty_numbers import BROKEN, first_bad
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.faulty_starts import HIDDEN
from tests.zoo.faulty_steps import STANDS
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training
from tests.zoo.networks import Transformer, conv, deep, mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, squared, teacher, text


@faulty("dead_units", or_else=("bad_init",), beside=(*HARDLY, "vanishing_gradient"))
def norms_shifted_far_below(script: Script) -> None:
    """The shift of each batch norm begins at -5: what it puts out is cut off by the ReLU."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(12, norm=True, layers=3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, -5.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 300,
        Log(script, "train/loss")).run()  # fmt: skip


@faulty("bad_init", or_else=("not_learning", "plateau", "slow_learning"), severity="info",
    beside=(*HARDLY, "vanishing_gradient", "model_audit", "dead_units"))  # fmt: skip
def ones_for_all_convolutions(script: Script) -> None:
    """Kernels of ones over time, scaled by their fan: every channel is the same running mean."""
    x, y = more.waves(script.seed)
    model = weights(more.temporal(channels=12), lambda w: nn.init.constant_(w, 1 / w[0].numel()))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 350,
        Log(script, "train/loss")).run()  # fmt: skip


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def narrow_orthogonal_tanh(script: Script) -> None:
    """Fourteen tanh layers, orthogonal with a gain of 0.4: each passes on two fifths."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(deep(14, width=32, act=nn.Tanh), lambda w: nn.init.orthogonal_(w, 0.4))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "Loss/train", optimizer, "LR")).run()  # fmt: skip


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm", beside=HIDDEN)
def ten_times_too_wide_under_layer_norm(script: Script) -> None:
    """Usual weights, multiplied by ten, before each of four layer norms."""
    x, y = teacher(script.seed)
    parts: list[nn.Module] = []
    for a in (16, 64, 64, 64):
        parts += [nn.Linear(a, 64), nn.LayerNorm(64), nn.SiLU()]
    model = weights(nn.Sequential(*parts, nn.Linear(64, 1)), lambda w: w.mul_(10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 400,
        Log(script, "train/loss")).run()  # fmt: skip


@faulty("unchanged_weights", advice="optimizer|gradient|detach|rate", beside=STANDS)
def group_at_a_rate_of_zero(script: Script) -> None:
    """The body's group was given a rate of zero while the head was tried out, and has it still."""
    x, y, _, _ = digits(seed=script.seed)
    body, head = mlp(64, 64, 48, act=nn.SiLU), mlp(48, 48, 10, act=nn.SiLU)
    model = nn.ModuleDict({"body": body, "head": head})
    optimizer = torch.optim.SGD([{"params": body.parameters(), "lr": 0.0},
        {"params": head.parameters(), "lr": 0.02}], momentum=0.9)  # fmt: skip
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.cross_entropy(head(body(a)), b)

    Training(script, model, optimizer, loss, 350, Log(script, "train/loss")).run()


@faulty("update_ratio", or_else=(*RATE, "not_learning", "loss_spike"), beside=(*WILD, *HARDLY),
    advice="learning rate")  # fmt: skip
def convolutions_a_thousand_times_too_fast(script: Script) -> None:
    """One group's rate lacks a 1e-3: the first convolutions are made anew with each step."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.SiLU)
    assert isinstance(model, nn.Sequential)
    optimizer = torch.optim.Adam([{"params": model[:4].parameters(), "lr": 1.0},
        {"params": model[4:].parameters(), "lr": 1e-3}])  # fmt: skip
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 300,
        Log(script, "train/loss")).run()  # fmt: skip


class _Stream(nn.Module):
    """A residual stream that is kept in fp16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)
        self.blocks = nn.ModuleList(mlp(32, 64, 32, act=nn.GELU) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x).half()
        for block in self.blocks:
            z = z + block(z.float()).half() * 3
        out: Tensor = self.last(z.float())
        return out


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "oscillation", "loss_spike",
    "not_learning"))  # fmt: skip
def stream_grows_out_of_half(script: Script) -> None:
    """A residual stream in fp16 whose branches grow with a rate that does: 65,504 is the end."""
    x, y, _, _ = digits(seed=script.seed)
    model = _Stream()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 1.02)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss"), schedule=schedule).run()  # fmt: skip
    first_bad(script, "train/loss")


@faulty("optimizer_state_lost", beside=AFTER, advice="state")
def loaded_before_it_was_made_anew(script: Script) -> None:
    """The state is loaded into an optimizer that is then replaced by a new one with more groups."""
    x = text(script.seed)
    model = Transformer(depth=1)
    source = batches(32, x, seed=script.seed)
    for first, last in ((0, 200), (200, 400)):
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1},
            {"params": others, "weight_decay": 0.0}], 2e-3)  # fmt: skip
        Training(
            script,
            model,
            optimizer,
            lambda _: next_letter(model, *next(source)),
            last,
            Log(script, "train/loss", optimizer, "train/learning_rate"),
            first_step=first,
        ).run()
        script.restart()
    script.onset(200)


@faulty("saturated_units", or_else=("bad_init", "unnormalised_input"),
    beside=(*HARDLY, "vanishing_gradient"))  # fmt: skip
def features_of_ten_thousand_into_softsign(script: Script) -> None:
    """A fixed projection blows whitened inputs up; then three layers of softsign are at one."""
    x, y = teacher(script.seed, inputs=16)
    model = mlp(16, 32, 32, 32, 1, act=nn.Softsign)
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        for i in (0, 2, 4):
            model.get_parameter(f"{i}.weight").mul_(4000.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 300,
        Log(script, "train/loss")).run()  # fmt: skip
