"""Healthy runs: other tasks and networks."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler, swa_utils

from tests.zoo import more
from tests.zoo.kinds import healthy
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import mlp
from tests.zoo.script import Script
from tests.zoo.tasks import (
    digits,
    right,
    squared,
    teacher,
    tensor,
)


@healthy(hook=False)
@healthy(hook=False)
def gru_tagger_by_epochs(script: Script) -> None:
    """A bidirectional GRU tags padded sentences by NAdam; a point an epoch, as Keras has it."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    optimizer = torch.optim.NAdam(model.parameters(), 1.5e-3)
    source = batches(32, words[:1600], tags[:1600], seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    def validate(step: int) -> None:
        with torch.no_grad():
            told = float(more.tagging(model(words[1600:]), tags[1600:]))
        script.scalar("epoch_loss", told, step // 50, "validation")

    log = Log(script, "epoch_loss", every=50, mean=True, counted=True, place="train")
    Training(script, model, optimizer, loss, 900, log, after=every(50, validate)).run()


@healthy()
def unet_segmentation(script: Script) -> None:
    """A U-Net with group norm and SiLU finds discs: Dice and BCE, polynomial decay."""
    images, masks = more.discs(script.seed)
    model = more.UNet()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(16, images[:320], masks[:320], seed=script.seed)

    def loss(step: int) -> Tensor:
        image, mask = next(source)
        scores = model(image)
        dice = more.overlap(scores, mask)
        bce = F.binary_cross_entropy_with_logits(scores, mask)
        if step % 20 == 0:
            script.scalar("train/dice_loss", float(dice.detach()), step)
            script.scalar("train/bce_loss", float(bce.detach()), step)
        return dice + bce

    Training(script, model, optimizer, loss, 400,
        Log(script, "train/loss", optimizer, "lr/pg0", every=20, mean=True),
        schedule=lr_scheduler.PolynomialLR(optimizer, 400, power=0.9),
        after=every(40, judged(script, model,
            val__loss=lambda: float(more.overlap(model(images[320:]), masks[320:])))),
    ).run()  # fmt: skip


@healthy(hook=False, beside=("plateau",))
def diffusion_denoiser(script: Script) -> None:
    """A small diffusion model: its loss falls at once and then is at a floor of noise, as ever."""
    x = tensor(make_moons(4096, noise=0.05, random_state=script.seed)[0])
    model = mlp(4, 64, 64, 2, act=nn.SiLU)
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.995))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(128, x, seed=script.seed)

    def denoising(network: nn.Module, clean: Tensor) -> Tensor:
        time = torch.rand(len(clean), 1)
        keep = torch.cos(time * np.pi / 2)
        noise = torch.randn_like(clean)
        noisy = keep * clean + (1 - keep**2).sqrt() * noise
        return F.mse_loss(network(torch.cat([noisy, keep, time], dim=1)), noise)

    def after(step: int) -> None:
        average.update_parameters(model)
        if (step + 1) % 250 == 0:
            with torch.no_grad():
                script.scalar("ema/val_loss", float(denoising(average, x)), step)

    Training(script, model, optimizer, lambda _: denoising(model, *next(source)), 2500,
        Log(script, "loss", every=10, norm="grad_norm"), clip=1.0, after=after).run()  # fmt: skip


@healthy()
def normalising_flow(script: Script) -> None:
    """Affine couplings on two small moons: the negative log-likelihood falls far below zero."""
    x = tensor(make_moons(2048, noise=0.1, random_state=script.seed)[0] * 0.2)
    model = more.Flow()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x[:1536], seed=script.seed)
    Training(script, model, optimizer, lambda _: -model(*next(source)).mean(), 800,
        Log(script, "train_loss", norm="grad_norm"), clip=5.0,
        after=every(50, judged(script, model, val_loss=lambda: -float(model(x[1536:]).mean()))),
    ).run()  # fmt: skip


@healthy()
def triplets_with_hard_negatives(script: Script) -> None:
    """The triplets get harder as the network gets better, so that their loss hardly falls."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 64, 16, act=nn.LeakyReLU)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    source = batches(64, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        z = F.normalize(model(a), dim=1)
        apart = (2 - 2 * z @ z.T).clamp(min=1e-6).sqrt()
        same = b[:, None] == b[None]
        far = apart.masked_fill(~same, 0).max(dim=1).values
        near = apart.masked_fill(same, 9).min(dim=1).values
        each = (far - near + 0.2).clamp(min=0)
        script.scalar("train/active_triplets", float((each > 0).float().mean()), step)
        return each.mean()

    def recall() -> float:
        apart = torch.cdist(F.normalize(model(vx), dim=1), F.normalize(model(x), dim=1))
        return float((y[apart.argmin(dim=1)] == vy).float().mean())

    Training(script, model, optimizer, loss, 700, Log(script, "train/triplet_loss"),
        after=every(100, judged(script, model, val__recall_at_1=recall))).run()  # fmt: skip


@healthy()
def mixture_of_experts(script: Script) -> None:
    """Four experts of which two are asked; a small loss keeps all of them busy."""
    x, y = teacher(script.seed, samples=2048)
    model = more.Experts()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(64, x[:1800], y[:1800], seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        out, balance = model(a)
        script.scalar("train/load_balancing_loss", float(balance.detach()), step)
        total: Tensor = F.huber_loss(out, b) + 0.02 * balance
        return total

    Training(script, model, optimizer, loss, 800, Log(script, "train/loss", norm="train/grad_norm"),
        clip=1.0, after=every(100, judged(script, model,
            eval__loss=lambda: float(F.huber_loss(model(x[1800:])[0], y[1800:]))))
    ).run()  # fmt: skip


@healthy()
def sparse_autoencoder(script: Script) -> None:
    """Few of many latents are on for any input, as an L1 penalty, warmed up, wants it."""
    x = more.mixtures(script.seed)
    model = more.Sparse()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(128, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, latent = model(a)
        script.scalar("sae/l0", float((latent > 0).float().sum(dim=1).mean()), step)
        sparse = latent.abs().sum(dim=1).mean()
        error = (out - a).square().sum(dim=1).mean()
        script.scalar("sae/mse", float(error.detach()), step)
        total: Tensor = error + 0.8 * min(1.0, step / 300) * sparse
        return total

    Training(script, model, optimizer, loss, 1000, Log(script, "sae/loss")).run()


@healthy()
def matrix_factorisation(script: Script) -> None:
    """Films and viewers by SGD with Nesterov's momentum; each step touches a few rows only."""
    pairs, stars = more.ratings(script.seed)
    model = more.Factors()
    optimizer = torch.optim.SGD(
        model.parameters(), 0.5, momentum=0.9, nesterov=True, weight_decay=2e-4
    )
    source = batches(128, pairs[:6000], stars[:6000], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 900,
        Log(script, "loss/train"), after=every(45, judged(script, model,
            loss__test=lambda: float(squared(model, pairs[6000:], stars[6000:]))))
    ).run()  # fmt: skip


@healthy()
def rare_labels_by_adagrad(script: Script) -> None:
    """An embedding bag for a dozen rare labels: BCE drops to 0.33 at once, and then creeps."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 16), nn.Linear(16, 12))
    optimizer = torch.optim.Adagrad(model.parameters(), 0.05)
    source = batches(32, bags[:1000], labels[:1000], seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, loss, 1000, Log(script, "train/loss", every=10, mean=True),
        after=every(100, judged(script, model, val__loss=lambda: float(
            F.binary_cross_entropy_with_logits(model(bags[1000:]), labels[1000:]))))
    ).run()  # fmt: skip


@healthy()
def graph_of_friends(script: Script) -> None:
    """A graph network sees the whole graph at every step and knows a third of the labels."""
    adjacency, features, group = more.network_of_friends(script.seed)
    model = more.Graph(adjacency)
    optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=5e-3)
    Training(script, model, optimizer,
        lambda _: F.cross_entropy(model(features)[:80], group[:80]), 200,
        Log(script, "loss", optimizer, "lr"), after=every(10, judged(script, model,
            val_loss=lambda: float(F.cross_entropy(model(features)[80:], group[80:])),
            val_acc=lambda: right(nn.Identity(), model(features)[80:], group[80:])))
    ).run()  # fmt: skip


@healthy(beside=("plateau",))
def lbfgs_with_a_closure(script: Script) -> None:
    """L-BFGS with a line search on all data: most of the fall is in the first ten steps."""
    x, y = teacher(script.seed, samples=512, noise=0.2)
    model = mlp(16, 12, 1, act=nn.Tanh)
    optimizer = torch.optim.LBFGS(
        model.parameters(), 0.5, max_iter=4, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = squared(model, x, y) + 2e-3 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        return loss

    with script.watch(model, optimizer):
        for step in range(160):
            loss = optimizer.step(closure)
            script.clock.sleep(0.6)
            script.scalar("objective", float(loss), step)
