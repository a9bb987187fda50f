"""Healthy: other networks, optimizers, schedules, losses and habits of logging."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, make_moons
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler, swa_utils

from tests.zoo import more
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


@healthy(hook=False)
def loss_in_thousands(script: Script) -> None:
    """Targets as they are, up to 346, under a squared loss: from 29,000 to some 3,000."""
    measured, progress = load_diabetes(return_X_y=True)
    x, y = tensor(measured / measured.std(axis=0)), tensor(progress)[:, None]
    model = mlp(10, 32, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), 5e-3)
    source = batches(32, x[:350], y[:350], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1200,
        Log(script, "mse", every=10, mean=True), after=every(100, judged(script, model,
            val_mse=lambda: float(squared(model, x[350:], y[350:]))))).run()  # fmt: skip


@healthy()
def physics_informed(script: Script) -> None:
    """A network that has to obey an equation: the loss falls by five orders, and jitters there."""
    model = mlp(1, 32, 32, 1, act=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.9985)
    zero = torch.zeros(1, 1, requires_grad=True)

    def slope(u: Tensor, t: Tensor) -> Tensor:
        return torch.autograd.grad(u.sum(), t, create_graph=True)[0]

    def loss(step: int) -> Tensor:
        t = (3 * torch.rand(64, 1)).requires_grad_()
        u = model(t)
        residual = slope(slope(u, t), t) + u
        start = model(zero)
        inside = residual.square().mean()
        edge = start.square().mean() + (slope(start, zero) - 1).square().mean()
        script.scalar("loss/residual", float(inside.detach()), step)
        script.scalar("loss/boundary", float(edge.detach()), step)
        total: Tensor = inside + edge
        return total

    Training(script, model, optimizer, loss, 1300, Log(script, "loss/total"),
        schedule=schedule).run()  # fmt: skip


@healthy(hook=False)
def loss_in_decibels(script: Script) -> None:
    """Speech people's loss: the negative signal-to-noise ratio, which crosses zero downwards."""
    clean = more.series(script.seed, 512, 64).transpose(1, 2)
    model = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.PReLU(),
        nn.Conv1d(16, 16, 7, padding=9, dilation=3), nn.PReLU(),
        nn.Conv1d(16, 1, 7, padding=3))  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(16, clean[:448], seed=script.seed)

    def decibels(network: nn.Module, signal: Tensor) -> Tensor:
        error = network(signal + 0.5 * torch.randn_like(signal)) - signal
        ratio = signal.square().sum(dim=(1, 2)) / error.square().sum(dim=(1, 2))
        return -10 * torch.log10(ratio + 1e-8).mean()

    Training(script, model, optimizer, lambda _: decibels(model, *next(source)), 600,
        Log(script, "train/si_snr_loss", norm="train/grad_norm"), clip=5.0,
        after=every(50, judged(script, model,
            val__si_snr_loss=lambda: float(decibels(model, clean[448:]))))).run()  # fmt: skip


@healthy()
def hinge_of_many_zeros(script: Script) -> None:
    """A linear support vector machine: in many batches the loss is exactly zero."""
    measured, benign = load_breast_cancer(return_X_y=True)
    x = tensor((measured - measured.mean(axis=0)) / measured.std(axis=0))
    y = tensor(2 * benign - 1)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(script.seed))
    x, y = x[order], y[order]
    model = nn.Linear(30, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, weight_decay=1e-3)
    source = batches(16, x[:450], y[:450], seed=script.seed)

    def hinge(a: Tensor, b: Tensor) -> Tensor:
        margin: Tensor = (1 - b * model(a)).clamp(min=0).mean()
        return margin

    Training(script, model, optimizer, lambda _: hinge(*next(source)), 800,
        Log(script, "hinge_loss"), after=every(80, judged(script, model,
            val_hinge_loss=lambda: float(hinge(x[450:], y[450:]))))).run()  # fmt: skip


@healthy(hook=False)
def actor_and_critic_on_a_slope(script: Script) -> None:
    """DDPG on a point that has to be driven home: the losses rise while the reward does."""
    actor = nn.Sequential(mlp(2, 32, 1), nn.Tanh())
    critic = mlp(3, 48, 48, 1)
    far_actor, far_critic = copy.deepcopy(actor), copy.deepcopy(critic)
    opt_a = torch.optim.Adam(actor.parameters(), 5e-4)
    opt_c = torch.optim.Adam(critic.parameters(), 1e-3)
    memory: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    state = torch.randn(16, 2)
    reached: list[float] = []
    for step in range(1000):
        with torch.no_grad():
            action = (actor(state) + 0.3 * torch.randn(16, 1)).clamp(-1, 1)
        speed = 0.9 * state[:, 1:] + 0.3 * action
        later = torch.cat([(state[:, :1] + 0.3 * speed).clamp(-2, 2), speed], dim=1)
        reward = -later[:, :1].square() - 0.05 * action.square()
        memory.append((state, action, reward, later))
        reached.append(float(reward.mean()))
        state = torch.randn(16, 2) if step % 25 == 24 else later
        picked = [memory[int(i)] for i in torch.randint(0, len(memory), (6,))]
        s, a, r, n = (torch.cat(part) for part in zip(*picked, strict=True))
        with torch.no_grad():
            goal = r + 0.9 * far_critic(torch.cat([n, far_actor(n)], dim=1))
        critic_loss = F.mse_loss(critic(torch.cat([s, a], dim=1)), goal)
        opt_c.zero_grad()
        critic_loss.backward()
        opt_c.step()
        actor_loss = -critic(torch.cat([s, actor(s)], dim=1)).mean()
        opt_a.zero_grad()
        actor_loss.backward()
        opt_a.step()
        with torch.no_grad():
            for near, far in ((actor, far_actor), (critic, far_critic)):
                for p, q in zip(near.parameters(), far.parameters(), strict=True):
                    q.lerp_(p, 0.02)
        script.clock.sleep(0.05)
        if step % 5 == 0:
            script.scalar("train/actor_loss", float(actor_loss), step)
            script.scalar("train/critic_loss", float(critic_loss), step)
        if step % 25 == 24:
            script.scalar("rollout/ep_rew_mean", 25 * float(np.mean(reached[-25:])), step)
            script.scalar("time/fps", 320.0 + 5 * float(torch.randn(())), step)


@healthy()
def codebook(script: Script) -> None:
    """A VQ-VAE: the commitment loss rises from zero as the code book comes into use."""
    x, _, vx, _ = digits(seed=script.seed)
    model = more.Quantised()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, to_code, to_latent = model(a)
        error = F.mse_loss(out, a)
        script.scalar("train/recon_loss", float(error.detach()), step)
        script.scalar("train/commitment_loss", float(to_latent.detach()), step)
        total: Tensor = error + to_code + 0.25 * to_latent
        return total

    Training(script, model, optimizer, loss, 900, Log(script, "train/loss"),
        after=every(100, judged(script, model,
            val__recon_loss=lambda: float(F.mse_loss(model(vx)[0], vx))))).run()  # fmt: skip


@healthy()
def teacher_lets_go(script: Script) -> None:
    """Scheduled sampling: the share of true inputs goes to zero, and the task becomes harder."""
    x = more.series(script.seed, length=20)
    cell, head = nn.GRUCell(1, 24), nn.Linear(24, 1)
    model = nn.ModuleDict({"cell": cell, "head": head})
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    source = batches(32, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        forced = max(0.0, 1.5 - step / 260)
        script.scalar("teacher_forcing", min(1.0, forced), step)
        state, total, guess = torch.zeros(len(a), 24), torch.zeros(()), a[:, 0]
        for i in range(a.shape[1] - 1):
            shown = a[:, i] if i < 6 or float(torch.rand(())) < forced else guess
            state = cell(shown, state)
            guess = head(state)
            total = total + (guess - a[:, i + 1]).square().mean()
        return total / (a.shape[1] - 1)

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss"), clip=1.0).run()


@healthy()
def dropout_that_grows(script: Script) -> None:
    """Dropout goes from 0 to 0.5: the training loss creeps up again, the validation's does not."""
    x, y, vx, vy = digits(seed=script.seed)
    model = mlp(64, 96, 96, 10, dropout=0.01)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def grow(step: int) -> None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = min(0.6, 0.6 * step / 700)

    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "train_loss_step"), before=grow, after=every(44, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy)),
            val_acc=lambda: right(model, vx, vy)))).run()  # fmt: skip


@healthy()
def long_warm_up(script: Script) -> None:
    """Post-norm layers and a warm-up over half of the run: slow at first, as it is meant."""
    x, y = more.counted(script.seed)
    model = more.Encoder(first=False)
    optimizer = torch.optim.AdamW(model.parameters(), 8e-4, weight_decay=0.1)
    schedule = lr_scheduler.LinearLR(optimizer, 1e-3, 1.0, 300)
    source = batches(32, x[:1800], y[:1800], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm", every=5),
        clip=1.0, schedule=schedule, after=every(60, judged(script, model,
            eval__loss=lambda: float(cross_entropy(model, x[1800:], y[1800:]))))).run()  # fmt: skip


@healthy()
def stepped_down_late(script: Script) -> None:
    """Dilated convolutions over time, Nesterov's momentum, tenths at 75 and 90 % of the run."""
    x, y = more.waves(script.seed)
    model = more.temporal()
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, nesterov=True)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "Loss/train", optimizer, "LR"),
        schedule=lr_scheduler.MultiStepLR(optimizer, [525, 630]),
        after=every(50, judged(script, model, **{
            "Loss/val": lambda: float(cross_entropy(model, x[860:], y[860:])),
            "Accuracy/val": lambda: right(model, x[860:], y[860:])}))).run()  # fmt: skip


class _Tied(nn.Module):
    """A GRU language model whose output layer is its embedding."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 32)
        nn.init.normal_(self.embed.weight, std=std)
        self.drop = nn.Dropout(0.2)
        self.cells = nn.GRU(32, 32, batch_first=True)

    def forward(self, letters: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out, last = self.cells(self.drop(self.embed(letters)), state)
        return self.drop(out) @ self.embed.weight.T, last


@healthy(beside=("plateau",))
def tied_and_truncated(script: Script) -> None:
    """A language model with tied weights, SGD at a rate of 2 and gradients clipped to 0.25."""
    streams = text(script.seed, length=241, samples=48)
    model = _Tied(0.1)
    optimizer = torch.optim.SGD(model.parameters(), 2.0)
    state: Tensor | None = None

    def loss(step: int) -> Tensor:
        nonlocal state
        at = 20 * (step % 12)
        scores, last = model(streams[:32, at : at + 20], None if at == 0 else state)
        state = last.detach()
        return F.cross_entropy(scores.flatten(0, 1), streams[:32, at + 1 : at + 21].flatten())

    def validate() -> float:
        scores, _ = model(streams[32:, :-1])
        return float(F.cross_entropy(scores.flatten(0, 1), streams[32:, 1:].flatten()))

    Training(script, model, optimizer, loss, 900,
        Log(script, "train/loss", optimizer, "train/lr", "train/grad_norm", every=10, mean=True),
        clip=0.25, after=every(60, judged(script, model, valid__loss=validate,
            valid__ppl=lambda: float(np.exp(validate()))))).run()  # fmt: skip


@healthy(hook=False)
def one_task_after_another(script: Script) -> None:
    """Four tasks in turn: the loss leaps at each new one and falls again."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 96, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)
    source = batches(32, x, y, seed=script.seed)
    orders = [torch.randperm(64) for _ in range(4)]

    def loss(step: int) -> Tensor:
        a, b = next(source)
        script.scalar("task", step // 250, step)
        return cross_entropy(model, a[:, orders[step // 250]], b)

    Training(script, model, optimizer, loss, 1000, Log(script, "loss")).run()


@healthy()
def strong_weight_decay(script: Script) -> None:
    """Residual blocks with RMS norm and SiLU under AdamW with a weight decay of 1."""
    x, y, vx, vy = digits(seed=script.seed)
    model = more.residual_mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1.0)
    schedule = lr_scheduler.OneCycleLR(optimizer, 2e-3, 500)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train_loss", optimizer, "lr-AdamW"), schedule=schedule,
        after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip


@healthy(hook=False, beside=("plateau",))
def already_trained(script: Script) -> None:
    """Training goes on from a finished checkpoint at a tenth of the rate: nearly flat."""
    x = text(script.seed)
    model = Transformer(depth=1)
    first = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(32, x[:1800], seed=script.seed)
    for _ in range(300):
        first.zero_grad()
        next_letter(model, *next(source)).backward()
        first.step()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", every=5, mean=True),
        after=every(50, judged(script, model,
            eval__loss=lambda: float(next_letter(model, x[1800:]))))).run()  # fmt: skip


@healthy(hook=False)
def many_tasks_with_learnt_weights(script: Script) -> None:
    """Classes, ink and picture at once, each weighted by its own uncertainty: below zero."""
    x, y, _, _ = digits(seed=script.seed)
    ink = x.mean(dim=1, keepdim=True)
    body = more.plain(64, 64, 32, act=nn.ELU)
    heads = nn.ModuleList(nn.Linear(32, n) for n in (10, 1, 64))
    doubt = nn.Parameter(torch.zeros(3))
    model = nn.ModuleDict({"body": body, "heads": heads})
    optimizer = torch.optim.Adam([*model.parameters(), doubt], 2e-3)
    source = batches(64, x, y, ink, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b, c = next(source)
        one, two, three = (head(body(a)) for head in heads)
        parts = [F.cross_entropy(one, b), F.mse_loss(two, c), F.mse_loss(three, a)]
        for name, part in zip(("class", "ink", "picture"), parts, strict=True):
            script.scalar(f"train/{name}_loss", float(part.detach()), step)
        return (torch.stack(parts) * (-doubt).exp() + doubt).sum()

    Training(script, model, optimizer, loss, 900, Log(script, "train/total_loss")).run()


@healthy()
def letters_without_times(script: Script) -> None:
    """CTC: letters are heard without their times; at first only blanks are said."""
    rng = script.generator()
    letters = rng.integers(1, 6, (1024, 4))
    sounds = rng.normal(size=(6, 8))
    frames = np.stack([
        np.repeat(row, rng.multinomial(8, [0.25] * 4) + 4)[:24] for row in letters
    ])  # fmt: skip
    heard = tensor(sounds[frames] + 0.5 * rng.normal(size=(1024, 24, 8)))
    ears = nn.Sequential(nn.Conv1d(8, 24, 3, padding=1), nn.GELU(),
        nn.Conv1d(24, 24, 5, padding=2), nn.GELU(), nn.Conv1d(24, 6, 1))  # fmt: skip
    optimizer = torch.optim.AdamW(ears.parameters(), 2e-3)
    source = batches(32, heard.transpose(1, 2).contiguous(), torch.from_numpy(letters),
        seed=script.seed)  # fmt: skip

    def loss(_: int) -> Tensor:
        a, b = next(source)
        said = ears(a).permute(2, 0, 1).log_softmax(dim=2)
        return F.ctc_loss(said, b, torch.full((32,), 24), torch.full((32,), 4))

    Training(script, ears, optimizer, loss, 700, Log(script, "train/ctc_loss",
        norm="train/grad_norm"), clip=5.0).run()  # fmt: skip


@healthy(hook=False)
def bootstrapped_views(script: Script) -> None:
    """BYOL, which follows its own moving average: the loss falls and says little."""
    x, y, vx, vy = digits(seed=script.seed)
    online = mlp(64, 96, 32, norm=True)
    guess = mlp(32, 48, 32, norm=True)
    target = copy.deepcopy(online).requires_grad_(False)
    model = nn.ModuleDict({"online": online, "guess": guess})
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(128, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        one, two = (a * (torch.rand_like(a) > 0.3) + 0.3 * torch.randn_like(a) for _ in "ab")
        like = [F.cosine_similarity(guess(online(p)), target(q), dim=1).mean()
            for p, q in ((one, two), (two, one))]  # fmt: skip
        return 2 - like[0] - like[1]

    def after(step: int) -> None:
        with torch.no_grad():
            for p, q in zip(online.parameters(), target.parameters(), strict=True):
                q.lerp_(p, 0.02)
        if (step + 1) % 50 == 0:
            online.eval()
            with torch.no_grad():
                apart = torch.cdist(F.normalize(online(vx), dim=1), F.normalize(online(x), dim=1))
            score = (y[apart.argmin(dim=1)] == vy).float().mean()
            script.scalar("knn_accuracy", float(score), step)
            online.train()

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss_ssl"), after=after).run()


@healthy(beside=("plateau",))
def langevin_sampling(script: Script) -> None:
    """Noise is added to the weights on purpose: after the burn-in the loss is to hover."""
    x, y = teacher(script.seed, noise=0.3)
    model = mlp(16, 24, 1, act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    source = batches(64, x, y, seed=script.seed)

    def shake(_: int) -> None:
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p), alpha=0.002)

    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1500,
        Log(script, "train/loss"), before=shake).run()  # fmt: skip


@healthy()
def restarts_of_doubled_length(script: Script) -> None:
    """Cosines of 100, 200 and 400 steps by AdamW, logged as a running mean."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.SiLU, norm=True)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 100, 2)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "loss", optimizer, "learning_rate", smooth=0.9), schedule=schedule,
        after=every(70, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip


@healthy(hook=False)
def displacements_in_metres(script: Script) -> None:
    """Two thousand steps on displacements in metres, 0.0003 wide: the loss ends at 1e-8."""
    x, y = teacher(script.seed, noise=0.02)
    model = mlp(16, 64, 1, act=nn.GELU)
    with torch.no_grad():
        for p in model[2].parameters():  # type: ignore[index]
            p.mul_(1e-3)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, eps=1e-12)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.999)
    source = batches(64, x, 3e-4 * y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 2000,
        Log(script, "train/mse", optimizer, "train/lr", every=50, mean=True),
        schedule=schedule).run()  # fmt: skip
