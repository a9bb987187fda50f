"""Healthy: losses that look odd to whoever expects 2.3 falling to 0."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.zoo.kinds import healthy
from tests.zoo.loop import BARE, CHARTS, LIGHTNING, PLAIN, Plan, Tags, batches, fit
from tests.zoo.networks import Recurrent, Vae, conv, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, diabetes, digits, squared, teacher, tensor


@healthy()
def tiny_batches(script: Script) -> None:
    """Batches of two: the loss jumps over two orders of magnitude and falls all the same."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-4),
        batches(2, x, y, seed=script.seed), cross_entropy, steps=2000, val_every=500,
        val=lambda: float(cross_entropy(model, vx, vy)), tags=BARE))  # fmt: skip


@healthy(hook=False)
def single_examples(script: Script) -> None:
    """Batch size one, as the article has it for the finest feedback."""
    x, y = diabetes()
    model = mlp(10, 16, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-4),
        batches(1, x, y, seed=script.seed), squared, steps=2000))  # fmt: skip


@healthy()
def negative_loss(script: Script) -> None:
    """The likelihood of a density: the loss falls through zero and stays negative."""
    x, y = teacher(script.seed, noise=0.05)
    model = mlp(16, 48, 2)

    def likelihood(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        mean, logvar = network(inputs).chunk(2, dim=1)
        logvar = logvar.clamp(-8, 8)
        loss: Tensor = (0.5 * (logvar + (targets - mean) ** 2 / logvar.exp())).mean()
        return loss

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, y, seed=script.seed), likelihood, steps=800,
        tags=Tags(loss="train/nll_loss", val="")))  # fmt: skip


@healthy()
def tiny_loss(script: Script) -> None:
    """Targets of the order of 0.0003: a loss of 1e-7."""
    x, y = teacher(script.seed)
    model = mlp(16, 48, 1)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, 3e-4 * y, seed=script.seed), squared, steps=600))  # fmt: skip


@healthy()
def label_smoothing(script: Script) -> None:
    """A floor at about 0.9, which no network can beat."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 10)

    def smoothed(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(network(inputs), targets, label_smoothing=0.2)

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(64, x, y, seed=script.seed), smoothed, steps=800,
        val=lambda: float(smoothed(model, vx, vy)), tags=LIGHTNING))  # fmt: skip


@healthy()
def converged_tail(script: Script) -> None:
    """Learnt within a fifth of the run, then at rest at almost zero."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 10)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 3e-3),
        batches(128, x, y, seed=script.seed), cross_entropy, steps=1500))  # fmt: skip


@healthy(hook=False)
def plateau_that_breaks(script: Script) -> None:
    """Parity of five bits: nothing at all for some hundred steps, then everything at once."""
    rng = script.generator()
    bits = rng.integers(0, 2, size=(4096, 16))
    x, y = tensor(bits * 2.0 - 1), torch.from_numpy(bits[:, :5].sum(axis=1) % 2)
    model = mlp(16, 64, 2)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(64, x, y, seed=script.seed), cross_entropy, steps=2000))  # fmt: skip


@healthy()
def memory_task(script: Script) -> None:
    """An LSTM that has to remember the first symbol: a long plateau at ln 2 at first."""
    rng = script.generator()
    x = rng.normal(size=(1024, 12, 4))
    model = Recurrent("LSTM")
    y = torch.from_numpy((x[:, 0, 0] > 0).astype(np.int64))
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-3),
        batches(32, tensor(x), y, seed=script.seed), cross_entropy, steps=500,
        clip=1.0, tags=PLAIN))  # fmt: skip


@healthy()
def autoencoder(script: Script) -> None:
    """Reconstructs digits; ends in a sigmoid on purpose."""
    x, _, vx, _ = digits("unit", seed=script.seed)
    model = nn.Sequential(mlp(64, 32, 8), mlp(8, 32, 64), nn.Sigmoid())

    def reconstruction(network: nn.Module, inputs: Tensor) -> Tensor:
        return F.mse_loss(network(inputs), inputs)

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(64, x, seed=script.seed), reconstruction, steps=700,
        val=lambda: float(reconstruction(model, vx)), tags=CHARTS))  # fmt: skip


@healthy()
def vae(script: Script) -> None:
    """A variational autoencoder whose KL term is annealed: one part rises while the other falls."""
    x, _, _, _ = digits(seed=script.seed)
    model = Vae()
    step = 0

    def evidence(network: nn.Module, inputs: Tensor) -> Tensor:
        nonlocal step
        out, mean, logvar = network(inputs)
        recon = (out - inputs).square().sum(dim=1).mean()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=1).mean()
        script.scalar("train/recon_loss", float(recon.detach()), step)
        script.scalar("train/kl_loss", float(kl.detach()), step)
        step += 1
        loss: Tensor = recon + min(1.0, step / 200) * kl
        return loss

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 2e-3),
        batches(64, x, seed=script.seed), evidence, steps=700))  # fmt: skip


@healthy()
def contrastive(script: Script) -> None:
    """InfoNCE over noisy copies: the floor hangs on the batch."""
    x, _, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 16)

    def info_nce(network: nn.Module, inputs: Tensor) -> Tensor:
        a, b = (
            F.normalize(network(inputs + 0.5 * torch.randn_like(inputs)), dim=1) for _ in range(2)
        )
        return F.cross_entropy(a @ b.T / 0.2, torch.arange(len(inputs)))

    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 1e-3),
        batches(64, x, seed=script.seed), info_nce, steps=600))  # fmt: skip


@healthy()
def imbalanced_classes(script: Script) -> None:
    """One class in twenty: a low loss from the start, which falls slowly."""
    x, y, _, _ = digits(seed=script.seed)
    rare = (y == 8).long()
    keep = (rare == 1) & (torch.arange(len(y)) % 2 == 0) | (rare == 0)
    model = conv(4, outputs=2)
    fit(script, Plan(model, torch.optim.Adam(model.parameters(), 5e-4),
        batches(64, x[keep], rare[keep], seed=script.seed), cross_entropy, steps=600))  # fmt: skip
