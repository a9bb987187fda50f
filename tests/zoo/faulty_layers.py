"""Faults that the layers show: units that say nothing, signals and gradients of the wrong size."""

from __future__ import annotations

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.faulty_starts import AS_THEY_COME, HIDDEN
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import conv, mlp, weights
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, squared, teacher, tensor

# Units that say nothing


@faulty("dead_units", or_else=("bad_init",), beside=(*HARDLY, "vanishing_gradient"))
def rare_class_prior_in_every_layer(script: Script) -> None:
    """The bias for rare positives, -4.6, which is meant for the last layer, is put into each."""
    images, masks = more.discs(script.seed)
    parts: list[nn.Module] = []
    for a in (1, 12, 12, 12):
        parts += [nn.Conv2d(a, 12, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Conv2d(12, 1, 1))
    for module in model:
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.bias, -4.6)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(8, images, masks, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, loss, 300, Log(script, "train/loss")).run()


@faulty("dead_units", or_else=(*RATE, "not_learning", "loss_spike"),
    beside=(*WILD, *HARDLY, "vanishing_gradient"))  # fmt: skip
def rate_of_another_optimizer(script: Script) -> None:
    """SGD's rate of 0.3, kept when the optimizer was changed to Adam: all ReLUs are off at once."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), 0.3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


class _Cells(nn.Module):
    """A recurrent network by hand, with a tanh that is a module."""

    def __init__(self, width: int, spread: float) -> None:
        super().__init__()
        self.inward, self.onward = nn.Linear(3, width), nn.Linear(width, width)
        nn.init.normal_(self.onward.weight, std=spread)
        nn.init.normal_(self.inward.weight, std=spread)
        self.squash = nn.Tanh()
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), self.onward.in_features)
        for i in range(x.shape[1]):
            state = self.squash(self.inward(x[:, i]) + self.onward(state))
        out: Tensor = self.head(state)
        return out


@faulty(
    "saturated_units",
    or_else=("bad_init", "exploding_gradient"),
    beside=(*HARDLY, *WILD, "oscillation", "vanishing_gradient"),
)
def cells_thrown_from_bound_to_bound(script: Script) -> None:
    """A recurrent network by hand, all weights of width 4: its state is -1 or 1 from the start."""
    rng = script.generator()
    x = rng.normal(size=(1024, 12, 3))
    y = torch.from_numpy((x[:, :, 0].sum(axis=1) > 0).astype(int))
    model = _Cells(24, 4.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, tensor(x), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 350,
        Log(script, "train/loss", norm="train/grad_norm"), clip=1.0).run()  # fmt: skip


@faulty("saturated_units", or_else=("bad_init",), beside=(*HARDLY, "vanishing_gradient"))
def sigmoids_pushed_to_one(script: Script) -> None:
    """Sigmoid layers whose weights are uniform from 0 to 1: all their sums are large, all are 1."""
    x, y, _, _ = digits("unit", seed=script.seed)
    model = weights(mlp(64, 48, 48, 48, 10, act=nn.Sigmoid), nn.init.uniform_)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss")).run()  # fmt: skip


# Gradients too small and too great


@faulty("vanishing_gradient", or_else=("bad_init", "saturated_units"), beside=HARDLY)
def hard_sigmoids_one_on_another(script: Script) -> None:
    """Seven hard sigmoids in a row, each of which passes on a sixth of the gradient."""
    x, y = teacher(script.seed)
    model = mlp(16, *[32] * 7, 1, act=nn.Hardsigmoid)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 400,
        Log(script, "mse", optimizer, "lr")).run()  # fmt: skip


@faulty("exploding_gradient", or_else=("divergence", "loss_spike", "oscillation", "nonfinite"),
    beside=(*WILD, "slow_learning", "saturated_units"))  # fmt: skip
def critic_without_a_penalty(script: Script) -> None:
    """WGAN without clipping or penalty: nothing holds the critic, whose slopes grow for ever."""
    real = tensor(make_moons(4096, noise=0.05, random_state=script.seed)[0])
    g, c = mlp(4, 48, 48, 2), mlp(2, 48, 48, 1, act=nn.LeakyReLU)
    opt_c = torch.optim.Adam(c.parameters(), 2e-3)
    opt_g = torch.optim.Adam(g.parameters(), 1e-4)
    source = batches(64, real, seed=script.seed)
    with script.watch(nn.ModuleDict({"g": g, "c": c}), [opt_c, opt_g]):
        for step in range(500):
            for _ in range(3):
                (some,) = next(source)
                fake = g(torch.randn(64, 4)).detach()
                loss_c = c(fake).mean() - c(some).mean()
                opt_c.zero_grad()
                loss_c.backward()
                opt_c.step()
            loss_g = -c(g(torch.randn(64, 4))).mean()
            opt_g.zero_grad()
            loss_g.backward()
            norm = nn.utils.get_total_norm([p.grad for p in g.parameters() if p.grad is not None])
            opt_g.step()
            script.clock.sleep(0.3)
            script.scalar("critic_loss", float(loss_c), step)
            script.scalar("generator_loss", float(loss_g), step)
            script.scalar("train/grad_norm", float(norm), step)
    steps, norms = script.curve("train/grad_norm")
    script.onset(int(steps[norms > 100 * norms[:20].mean()][0])
        if (norms > 100 * norms[:20].mean()).any() else 250, known=False)  # fmt: skip


# Starts that are wrong


@faulty(
    "bad_init",
    or_else=("exploding_gradient",),
    advice="initiali[sz]ation",
    beside=(*WILD, "divergence", "oscillation", "slow_learning", "plateau", "nonfinite"),
)
def uniform_from_zero_to_one(script: Script) -> None:
    """init.uniform_ as it is, from 0 to 1: no weight is negative, and each layer adds all up."""
    x, y, _, _ = digits("unit", seed=script.seed)
    model = weights(mlp(64, 48, 48, 48, 48, 10), nn.init.uniform_)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss"), clip=1.0).run()  # fmt: skip


@faulty("bad_init", or_else=("not_learning", "plateau", "vanishing_gradient", "slow_learning"),
    severity="info", beside=(*HARDLY, "dead_units", "model_audit"))  # fmt: skip
def one_filter_many_times(script: Script) -> None:
    """One filter is copied into all of a layer's: they are the same and stay the same."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(8, layers=2)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(module.weight[:1].expand_as(module.weight).clone())
                module.bias.zero_()  # type: ignore[union-attr]
            elif isinstance(module, nn.Linear):
                module.weight.zero_()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm", beside=HIDDEN)
def glorot_of_the_wrong_fan(script: Script) -> None:
    """Kernels scaled by the square root of their fan, upside down, each under a batch norm."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(conv(16, norm=True, layers=4),
        lambda w: nn.init.normal_(w, std=(w[0].numel() / 20) ** 0.5 / 3))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 250,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


# Inputs as they come


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def sound_in_sixteen_bits(script: Script) -> None:
    """Sound as whole numbers up to 32,767 into convolutions over time."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.ReLU)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, (x * 6000).round().clamp(-32768, 32767), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 300,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@faulty("unnormalised_input", beside=(*AS_THEY_COME, "nonfinite"),
    advice="mean|whiten|normali|scale|tanh")  # fmt: skip
def standardised_twice(script: Script) -> None:
    """Divided by a spread that was found before units were changed: a millionth is left."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 48, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, 1e-6 * x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 400,
        Log(script, "train/loss"), after=every(50, judged(script, model,
            val__loss=lambda: float(squared(model, 1e-6 * x[:200], y[:200]))))).run()  # fmt: skip
