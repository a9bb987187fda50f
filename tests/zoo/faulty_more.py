"""Faults: other networks, optimizers, losses and habits of logging, and other mistakes."""

from __future__ import annotations

import copy
from collections import deque

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_numbers import BROKEN, first_bad
from tests.zoo.faulty_progress import STILL, TOO_SOON, above_its_least, rises
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training, every, judged
from tests.zoo.networks import Recurrent, Transformer, conv, mlp, weights
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

# Numbers that are none


@faulty("nonfinite", severity="critical", beside=(*BROKEN, "oscillation"), hook=False)
def variance_below_zero(script: Script) -> None:
    """A likelihood whose variance is a plain linear output: one day it is negative, and so log."""
    x, y = teacher(script.seed, noise=0.05)
    model = mlp(16, 48, 2, act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        mean, spread = model(a).chunk(2, dim=1)
        variance = spread + 1
        total: Tensor = 0.5 * (variance.log() + (b - mean) ** 2 / variance).mean()
        return total

    Training(script, model, optimizer, loss, 800, Log(script, "train/nll")).run()
    first_bad(script, "train/nll")


class _Pooled(nn.Module):
    """Attention written by hand: the mean of the values, weighted by learnt queries."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 32)
        self.mix = mlp(32, 64, 32, act=nn.GELU)
        self.keys, self.head = nn.Linear(32, 4), mlp(128, 48, 3, act=nn.GELU)

    def forward(self, letters: Tensor, hidden: Tensor) -> Tensor:
        x = self.embed(letters)
        x = x + self.mix(x)
        weight = self.keys(x).masked_fill(hidden[:, :, None], float("-inf")).softmax(dim=1)
        out: Tensor = self.head((weight.transpose(1, 2) @ x).flatten(1))
        return out


@faulty("nonfinite", severity="critical", beside=BROKEN)
def everything_masked(script: Script) -> None:
    """An empty sequence among the others: all of it is masked, and the softmax is 0 / 0."""
    x, y = more.counted(script.seed)
    model = _Pooled()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    at = 180 + 40 * (script.seed % 4)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        hidden = torch.zeros_like(a, dtype=torch.bool)
        hidden[0, 12:] = True
        if step == at:
            hidden[5] = True
        return F.cross_entropy(model(a, hidden), b)

    Training(script, model, optimizer, loss, 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
        clip=1.0).run()  # fmt: skip
    script.onset(at)


@faulty("nonfinite", severity="critical", beside=BROKEN, hook=False)
def divided_by_no_spread(script: Script) -> None:
    """Advantages divided by their spread within a small group: once all are as good, 0 / 0."""
    rng = script.generator()
    actor = mlp(4, 24, 3, act=nn.Tanh)
    optimizer = torch.optim.Adam(actor.parameters(), 5e-3)
    for step in range(600):
        state = tensor(rng.normal(size=(24, 4)))
        choice = torch.distributions.Categorical(logits=actor(state), validate_args=False)
        action = torch.multinomial(choice.probs.nan_to_num(1 / 3), 1)[:, 0]
        reward = (action == state[:, :3].argmax(dim=1)).float()
        advantage = (reward - reward.mean()) / reward.std()
        loss = -(choice.log_prob(action) * advantage).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        script.clock.sleep(0.2)
        script.scalar("train/policy_gradient_loss", float(loss), step)
        script.scalar("rollout/ep_rew_mean", float(reward.mean()), step)
    first_bad(script, "train/policy_gradient_loss")


# Losses that climb


@faulty("divergence", or_else=RATE, beside=WILD, advice="learning rate", hook=False)
def warm_up_without_an_end(script: Script) -> None:
    """A linear warm-up that nobody stops: it learns, until the rate is too much."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: 5e-4 * (1 + step))
    x = x + torch.randn_like(x)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "train_loss", optimizer, "lr-Adam"), schedule=schedule,
        after=every(45, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip
    _lowest(script, "train_loss")


def _lowest(script: Script, tag: str, width: int = 20) -> None:
    """The onset: half of what was gained is lost by then, as a median over ``width`` points.

    For good; where it is lowest nobody can know that it will climb.
    """
    steps, loss = script.curve(tag)
    level = np.median(np.lib.stride_tricks.sliding_window_view(loss, width), axis=1)
    least = int(np.argmin(level))
    below = level < (level[least] + max(level[0], level[least])) / 2
    script.onset(int(steps[int(np.flatnonzero(below)[-1]) + width - 1]), known=False)


@faulty("divergence", or_else=(*RATE, "loss_spike"), beside=WILD)
def gradient_reversed_too_strongly(script: Script) -> None:
    """Domain adaptation: the reversed gradient is ramped up until it outweighs the task."""
    x, y, _, _ = digits(seed=script.seed)
    body = mlp(64, 64, 32)
    heads = nn.ModuleList([nn.Linear(32, 10), mlp(32, 32, 2)])
    model = nn.ModuleDict({"body": body, "heads": heads})
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)

    def loss(step: int) -> Tensor:
        a, b = next(source)
        shifted = torch.arange(len(a)) % 2
        z = body(a + 0.4 * shifted[:, None])
        ramp = 0.1 * max(0, step - 300)
        turned = (1 + ramp) * z.detach() - ramp * z
        task = F.cross_entropy(heads[0](z), b)
        domain = F.cross_entropy(heads[1](turned), shifted)
        script.scalar("train/domain_loss", float(domain.detach()), step)
        script.scalar("train/class_loss", float(task.detach()), step)
        return task + domain

    Training(script, model, optimizer, loss, 700, Log(script, "train/loss"), clip=2.0).run()
    script.onset(300)


@faulty("divergence", or_else=RATE, beside=WILD, hook=False)
def values_that_feed_on_themselves(script: Script) -> None:
    """Q-learning without discount or end: each value is a bit above the next, for ever."""
    rng = script.generator()
    q = mlp(6, 48, 3)
    target = copy.deepcopy(q)
    optimizer = torch.optim.Adam(q.parameters(), 1e-3)

    def loss(step: int) -> Tensor:
        state = tensor(rng.normal(size=(32, 6)))
        action = torch.from_numpy(rng.integers(0, 3, 32))
        reward = (state[torch.arange(32), action] > 0).float()
        with torch.no_grad():
            later = 0.8 * state + 0.3 * torch.randn(32, 6)
            goal = reward + 1.05 * target(later).max(dim=1).values
            if step % 20 == 0:
                target.load_state_dict(q.state_dict())
        picked = q(state)[torch.arange(32), action]
        script.scalar("train/q_mean", float(picked.mean()), step)
        return F.mse_loss(picked, goal)

    Training(script, q, optimizer, loss, 1200, Log(script, "train/loss")).run()
    _lowest(script, "train/loss")


# Losses that leap


@faulty(
    "loss_spike",
    or_else=("divergence",),
    beside=("exploding_gradient", "update_ratio"),
    severity="info",
    hook=False,
)
def corrupt_shards(script: Script) -> None:
    """A language model meets a few batches of a shard that holds one letter over and over."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    source = batches(32, x, seed=script.seed)
    at = 200 + 30 * (script.seed % 4)
    rare = int(torch.bincount(x.flatten(), minlength=12).argmin())

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        return next_letter(model, torch.full_like(a, rare) if step in (at, at + 150) else a)

    Training(script, model, optimizer, loss, 500,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"),
        clip=1.0).run()  # fmt: skip
    script.onset(at)


@faulty(
    "loss_spike",
    or_else=("divergence", "exploding_gradient"),
    beside=("update_ratio", "oscillation", "dead_units"),
    severity="info",
    hook=False,
)
def sensor_says_999(script: Script) -> None:
    """A sensor that fails says 999, and from a step on that is now and then a target."""
    x = more.series(script.seed)
    model = Recurrent("GRU", inputs=1, outputs=1)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    source = batches(32, x, seed=script.seed)
    at = 300 + 40 * (script.seed % 3)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        target = a[:, -1].clone()
        if step >= at and (step - at) % 130 == 0:
            target[0] = 999.0
        return F.mse_loss(model(a[:, :-1]), target)

    Training(script, model, optimizer, loss, 800, Log(script, "loss"), clip=1.0).run()
    script.onset(at)


# Losses that swing


@faulty(
    "oscillation",
    or_else=(*RATE, "loss_spike", "exploding_gradient"),
    beside=(*WILD, "slow_learning"),
)
def gradients_never_cleared(script: Script) -> None:
    """zero_grad() was forgotten: each step follows the sum of all gradients so far."""
    x, y, _, _ = digits(seed=script.seed)
    model = conv(6)
    optimizer = torch.optim.SGD(model.parameters(), 5e-3)
    source = batches(32, x, y, seed=script.seed)
    with script.watch(model, optimizer):
        for step in range(600):
            loss = cross_entropy(model, *next(source))
            loss.backward()
            norm = nn.utils.get_total_norm(
                [p.grad for p in model.parameters() if p.grad is not None]
            )
            optimizer.step()
            script.clock.sleep(0.2)
            script.scalar("train/loss", float(loss), step)
            script.scalar("train/grad_norm", float(norm), step)
    _lowest(script, "train/loss")


@faulty(
    "oscillation",
    or_else=(*RATE, "loss_spike"),
    beside=(*WILD, "slow_learning"),
    hook=False,
)
def gradients_come_late(script: Script) -> None:
    """Workers that never wait: each gradient is 24 steps old, and the loss swings."""
    x, y = teacher(script.seed, noise=0.05)
    model = mlp(16, 48, 1, act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.06)
    source = batches(128, x, y, seed=script.seed)
    late: deque[list[Tensor]] = deque()
    for step in range(900):
        loss = squared(model, *next(source))
        late.append(list(torch.autograd.grad(loss, list(model.parameters()))))
        if len(late) > 24:
            for p, g in zip(model.parameters(), late.popleft(), strict=True):
                p.grad = g
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        script.clock.sleep(0.1)
        script.scalar("loss", float(loss), step)
    _, curve = script.curve("loss")
    # The first gradients are as good as any; the swing shows when it is well above its start.
    script.onset(int(np.argmax(curve > 1.5 * np.median(curve[:10]))), known=False)


@faulty(
    "oscillation", or_else=("loss_spike", "divergence"), beside=(*WILD, "slow_learning"), hook=False
)
def sorted_by_class(script: Script) -> None:
    """Nobody shuffles and the files lie class by class: a saw with a tooth for each class."""
    x, y, vx, vy = digits(seed=script.seed)
    order = torch.argsort(y, stable=True)
    x, y = x[order], y[order]
    model = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    def loss(step: int) -> Tensor:
        at = 28 * step % 1400
        return cross_entropy(model, x[at : at + 28], y[at : at + 28])

    Training(script, model, optimizer, loss, 1000, Log(script, "train_loss_step"),
        after=every(50, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, vx, vy)),
            val_acc=lambda: right(model, vx, vy)))).run()  # fmt: skip


@faulty("oscillation", or_else=(*RATE, "not_learning"), beside=(*WILD, "slow_learning"),
    advice="learning rate")  # fmt: skip
def rmsprop_at_one_half(script: Script) -> None:
    """RMSprop at 0.5 on a GRU: thrown up at once, and in the whole run never below its start."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    optimizer = torch.optim.RMSprop(model.parameters(), 0.5)
    source = batches(32, words, tags, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    Training(script, model, optimizer, loss, 400,
        Log(script, "Loss/train", optimizer, "LR")).run()  # fmt: skip


# Losses that stand still


def _flat(script: Script, tag: str) -> None:
    """The onset: a tenth of the run after the loss has come within 3 % of its fall of its end."""
    steps, loss = script.curve(tag)
    width = max(1, len(loss) // 60)
    middle = np.array([np.median(loss[max(0, i - width) : i + 1]) for i in range(len(loss))])
    end = np.median(loss[len(loss) // 2 :])
    near = middle <= end + 0.03 * (loss[0] - end)
    later = min(len(loss) - 1, int(np.argmax(near)) + len(loss) // 10)
    script.onset(int(steps[later]), known=False)


@faulty("plateau", severity="info", beside=("gradient_noise",))
def stars_at_a_constant_rate(script: Script) -> None:
    """Matrix factorisation at the noise floor of a rate that is never lowered."""
    pairs, stars = more.ratings(script.seed, noise=0.2)
    model = more.Factors()
    optimizer = torch.optim.Adam(model.parameters(), 0.05, weight_decay=1e-3)
    source = batches(32, pairs[:7000], stars[:7000], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 2000,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip
    _flat(script, "train/loss")


@faulty("plateau", severity="info", hook=False)
def bottleneck_of_three(script: Script) -> None:
    """A linear autoencoder with three numbers in the middle: soon it can do no better."""
    x, _, vx, _ = digits(seed=script.seed)
    model = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 64))
    optimizer = torch.optim.NAdam(model.parameters(), 0.02)
    source = batches(64, x, seed=script.seed)

    def error(a: Tensor) -> Tensor:
        return F.huber_loss(model(a), a)

    Training(script, model, optimizer, lambda _: error(*next(source)), 2000,
        Log(script, "train_loss"), after=every(200, judged(script, model,
            val_loss=lambda: float(error(vx))))).run()  # fmt: skip
    _flat(script, "train_loss")


@faulty("plateau", or_else=("not_learning", "update_ratio", "dead_units"), severity="info",
    beside=("vanishing_gradient", "unchanged_weights"))  # fmt: skip
def triplets_collapse(script: Script) -> None:
    """Hardest triplets at a high rate: all is mapped to one point, and the loss is the margin.

    What the hook sees, updates as large as the weights and then dead units, is why.
    """
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 64, 16)
    optimizer = torch.optim.Adam(model.parameters(), 0.06)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        z = model(a)
        apart = ((z[:, None] - z[None]).square().sum(dim=2) + 1e-12).sqrt()
        same = b[:, None] == b[None]
        far = apart.masked_fill(~same, 0).max(dim=1).values
        near = apart.masked_fill(same, 1e9).min(dim=1).values
        total: Tensor = (far - near + 0.5).clamp(min=0).mean()
        return total

    Training(script, model, optimizer, loss, 700, Log(script, "train/triplet_loss")).run()
    _flat(script, "train/triplet_loss")


# Rates that fall too soon


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"),
    advice="decay")  # fmt: skip
def milestones_in_steps(script: Script) -> None:
    """Milestones meant as epochs, and a schedule that steps with every batch: 30, 60, 80."""
    x, y = more.waves(script.seed)
    model = more.temporal(norm=True)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(32, x[:860], y[:860], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 900,
        Log(script, "Loss/train", optimizer, "LR"),
        schedule=lr_scheduler.MultiStepLR(optimizer, [30, 60, 80]),
        after=every(90, judged(script, model,
            Loss__val=lambda: float(cross_entropy(model, x[860:], y[860:]))))).run()  # fmt: skip
    script.onset(80, known=False)


@faulty("early_decay", or_else=("slow_learning",), beside=("plateau", "update_ratio"),
    advice="decay", hook=False)  # fmt: skip
def plateau_of_the_wrong_mode(script: Script) -> None:
    """ReduceLROnPlateau waits for the loss to rise: it lowers the rate while all goes well."""
    words, tags = more.sentences(script.seed)
    model = more.Tagger()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.3, patience=1)
    source = batches(32, words[:1600], tags[:1600], seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return more.tagging(model(a), b)

    def validate(step: int) -> None:
        with torch.no_grad():
            told = float(more.tagging(model(words[1600:]), tags[1600:]))
        script.scalar("eval/loss", told, step)
        schedule.step(told)

    Training(script, model, optimizer, loss, 600, Log(script, "train/loss", optimizer,
        "train/learning_rate", every=5, mean=True), after=every(20, validate)).run()  # fmt: skip
    steps, rate = script.curve("train/learning_rate")
    script.onset(int(steps[rate < 0.05 * rate[0]][0]), known=False)


@faulty(
    "early_decay",
    or_else=("slow_learning",),
    beside=("plateau", "update_ratio", "unchanged_weights"),
    advice="decay",
    hook=False,
)
def polynomial_over_epochs(script: Script) -> None:
    """A polynomial decay over 40 epochs that is stepped per batch: zero from step 40 on."""
    images, masks = more.discs(script.seed)
    model = more.UNet()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    source = batches(16, images, masks, seed=script.seed)

    def loss(_: int) -> Tensor:
        image, mask = next(source)
        scores = model(image)
        return more.overlap(scores, mask) + F.binary_cross_entropy_with_logits(scores, mask)

    Training(script, model, optimizer, loss, 400, Log(script, "train/seg_loss", optimizer,
        "lr/pg0"), schedule=lr_scheduler.PolynomialLR(optimizer, 40, power=0.9)).run()  # fmt: skip
    script.onset(40, known=False)


# Nothing is learnt


def _nothing(script: Script) -> None:
    script.onset(int(TOO_SOON * script.note.last), known=False)


@faulty("not_learning", severity="info", beside=STILL)
def mask_the_wrong_way_round(script: Script) -> None:
    """The padding mask is inverted: the encoder sees the padding and none of the words."""
    x, y = more.counted(script.seed)
    x = torch.cat([x + 1, torch.zeros_like(x[:, :6])], dim=1)
    model = more.Encoder(letters=7, depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    source = batches(32, x[:1800], y[:1800], seed=script.seed)

    def loss(a: Tensor, b: Tensor) -> Tensor:
        out = model.layers(model.embed(a), src_key_padding_mask=a != 0)
        return F.cross_entropy(model.head(out[:, -6:].mean(dim=1)), b)

    Training(script, model, optimizer, lambda _: loss(*next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm"), clip=1.0,
        after=every(50, judged(script, model,
            eval__loss=lambda: float(loss(x[1800:], y[1800:]))))).run()  # fmt: skip
    _nothing(script)


@faulty("not_learning", severity="info", or_else=("vanishing_gradient",),
    beside=(*STILL, "saturated_units"), hook=False)  # fmt: skip
def too_long_a_memory(script: Script) -> None:
    """A plain RNN has to recall the first of ninety inputs: ln 2 for ever."""
    rng = script.generator()
    x = rng.normal(size=(1024, 90, 2))
    y = torch.from_numpy((x[:, 0, 0] > 0).astype(np.int64))
    model = Recurrent("RNN", inputs=2, width=16)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    source = batches(64, tensor(x), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "loss", optimizer, "lr")).run()  # fmt: skip
    _nothing(script)


@faulty(
    "not_learning",
    severity="info",
    or_else=(*RATE, "vanishing_gradient", "plateau", "update_ratio"),
    beside=(*WILD, *STILL),
)
def post_norm_without_warm_up(script: Script) -> None:
    """Four post-norm layers at a rate of 0.05 from the first step: it never gets off the ground."""
    x, y = more.counted(script.seed, length=10)
    model = more.Encoder(depth=4, first=False)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 250,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip
    _nothing(script)


# Too little is learnt


@faulty("slow_learning", severity="info", beside=("update_ratio",))
def adagrad_at_a_low_rate(script: Script) -> None:
    """Adagrad at 0.0005, whose steps get smaller by themselves: it creeps."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 16), nn.Linear(16, 12))
    optimizer = torch.optim.Adagrad(model.parameters(), 5e-4)
    source = batches(64, bags[:1000], labels[:1000], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 1500,
        Log(script, "train/bce_loss", optimizer, "train/lr"), after=every(100, judged(script,
            model, val__bce_loss=lambda: float(error(bags[1000:], labels[1000:]))))
    ).run()  # fmt: skip
    _nothing(script)


@faulty("slow_learning", or_else=("not_learning",), severity="info",
    beside=("update_ratio", "plateau", "unchanged_weights"), hook=False)  # fmt: skip
def warm_up_of_a_million_steps(script: Script) -> None:
    """The warm-up was counted in tokens: at the end the rate is at a five-hundredth."""
    x = text(script.seed)
    model = Transformer(depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 400_000)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 700,
        Log(script, "train/loss", optimizer, "train/learning_rate", "train/grad_norm", every=5),
        clip=1.0, schedule=schedule).run()  # fmt: skip
    _nothing(script)


@faulty(
    "slow_learning",
    or_else=("update_ratio", "not_learning", "unchanged_weights"),
    severity="info",
    beside=("plateau",),
)
def clipped_to_almost_nothing(script: Script) -> None:
    """Gradients clipped to 0.0005 where 0.5 was meant, under plain SGD."""
    x, y, vx, vy = digits(seed=script.seed)
    model = conv(6)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "train/loss", norm="train/grad_norm"), clip=5e-4,
        after=every(70, judged(script, model,
            val__loss=lambda: float(cross_entropy(model, vx, vy))))).run()  # fmt: skip
    _nothing(script)


# Learnt by heart


@faulty("overfitting", beside=("plateau",), hook=False)
def forty_factors_per_film(script: Script) -> None:
    """Matrix factorisation of rank 40 without decay: the test error falls and then climbs."""
    pairs, stars = more.ratings(script.seed, count=5000, noise=0.8)
    model = more.Factors(rank=40)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    source = batches(128, pairs[:3500], stars[:3500], seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 1200,
        Log(script, "loss/train"), after=every(30, judged(script, model,
            loss__test=lambda: float(squared(model, pairs[3500:], stars[3500:]))))
    ).run()  # fmt: skip
    rises(script, "loss/test")


@faulty("overfitting", beside=("plateau",), hook=False)
def few_documents(script: Script) -> None:
    """Two hundred documents and a wide embedding bag, by epochs as Keras logs them."""
    bags, labels = more.documents(script.seed)
    model = nn.Sequential(nn.EmbeddingBag(400, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, 12))  # fmt: skip
    optimizer = torch.optim.NAdam(model.parameters(), 2e-3)
    source = batches(20, bags[:200], labels[:200], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    told: list[float] = []

    def validate(step: int) -> None:
        with torch.no_grad():
            told.append(float(error(bags[600:], labels[600:])))
        script.scalar("epoch_loss", told[-1], step // 10, "validation")

    Training(script, model, optimizer, lambda _: error(*next(source)), 600,
        Log(script, "epoch_loss", every=10, mean=True, counted=True, place="train"),
        after=every(10, validate)).run()  # fmt: skip
    script.onset(above_its_least(np.array(told)), known=False)


@faulty("overfitting", beside=("plateau", "gradient_noise"))
def few_signals(script: Script) -> None:
    """Sixty signals for a network of dilated convolutions: it learns their noise."""
    x, y = more.waves(script.seed, length=32)
    x = x + 0.6 * torch.randn_like(x)
    model = more.temporal(channels=32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    source = batches(20, x[:60], y[:60], seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss_step"), after=every(20, judged(script, model,
            val_loss=lambda: float(cross_entropy(model, x[600:], y[600:])),
            val_acc=lambda: right(model, x[600:], y[600:])))).run()  # fmt: skip
    rises(script, "val_loss")


# Units that say nothing


@faulty("dead_units", beside=(*HARDLY, "vanishing_gradient"))
def penalty_kills_the_latents(script: Script) -> None:
    """A sparse autoencoder whose penalty is far too strong: nearly all latents are off for good."""
    x = more.mixtures(script.seed)
    model = more.Sparse()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    source = batches(128, x, seed=script.seed)

    def loss(step: int) -> Tensor:
        (a,) = next(source)
        out, latent = model(a)
        script.scalar("sae/l0", float((latent > 0).float().sum(dim=1).mean()), step)
        error = (out - a).square().sum(dim=1).mean()
        script.scalar("sae/mse", float(error.detach()), step)
        total: Tensor = error + 40 * latent.abs().sum(dim=1).mean()
        return total

    Training(script, model, optimizer, loss, 800, Log(script, "sae/loss")).run()
    steps, active = script.curve("sae/l0")
    script.onset(int(steps[active < 0.05 * active[0]][0]), known=False)


@faulty(
    "dead_units",
    or_else=("oscillation", "divergence", "bad_init"),
    beside=(*HARDLY, "vanishing_gradient", "exploding_gradient", "loss_spike"),
)
def killed_at_the_first_steps(script: Script) -> None:
    """A warm-up upside down, from 0.5 to 0.0005: the first thirty steps switch most ReLUs off."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.ReLU, layers=4)
    optimizer = torch.optim.Adam(model.parameters(), 0.5)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: 10 ** -min(3.0, step / 10))
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "Loss/train", optimizer, "LR"), schedule=schedule).run()  # fmt: skip


@faulty("saturated_units", or_else=("unnormalised_input",),
    beside=(*HARDLY, "vanishing_gradient", "bad_init"))  # fmt: skip
def tanh_on_raw_counts(script: Script) -> None:
    """A converter's counts, 0 to 4095, into dilated convolutions with tanh."""
    x, y = more.waves(script.seed)
    model = more.temporal(act=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    source = batches(32, (x * 500 + 2048).clamp(0, 4095), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss")).run()  # fmt: skip


@faulty(
    "saturated_units",
    or_else=("bad_init", "vanishing_gradient"),
    beside=(*HARDLY, "oscillation", "divergence", "update_ratio"),
)
def actions_at_their_limits(script: Script) -> None:
    """An actor that ends in tanh is driven to its limits by a rate far too high, and stays."""
    actor = nn.Sequential(mlp(3, 32, 32, 2, act=nn.Tanh), nn.Tanh())
    optimizer = torch.optim.Adam(actor.parameters(), 0.3)
    rng = script.generator()

    def loss(step: int) -> Tensor:
        state = tensor(rng.normal(size=(64, 3)))
        wanted = 0.5 * torch.tanh(state[:, :2] + state[:, 2:])
        action = actor(state)
        script.scalar("rollout/ep_rew_mean", -float((action - wanted).abs().mean()), step)
        return F.mse_loss(action, wanted)

    Training(script, actor, optimizer, loss, 600, Log(script, "train/actor_loss")).run()


# Gradients too small and too great


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def convolutions_without_shortcuts(script: Script) -> None:
    """Twenty convolutions over time with SiLU, no norm, no shortcut: nothing gets through."""
    x, y = more.waves(script.seed, length=32)
    model = more.temporal(channels=12, layers=20, act=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 250,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


@faulty("vanishing_gradient", or_else=("bad_init",), beside=(*HARDLY, "saturated_units"))
def deep_autoencoder_of_sigmoids(script: Script) -> None:
    """Eight layers of sigmoids, as in 2006: it learns the mean picture and no more."""
    x, _, _, _ = digits("unit", seed=script.seed)
    model = more.plain(64, 48, 32, 24, 16, 24, 32, 48, 64, act=nn.Sigmoid)
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    source = batches(64, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        return F.mse_loss(model(a), a)

    Training(script, model, optimizer, loss, 600, Log(script, "reconstruction_loss")).run()


@faulty("exploding_gradient", or_else=("bad_init", "divergence", "loss_spike", "oscillation"),
    beside=(*WILD, "slow_learning"), advice="clip|learning rate|initiali[sz]ation")  # fmt: skip
def blocks_that_only_add(script: Script) -> None:
    """Sixteen residual blocks without norm, each doubling the signal; clipping hides the rest."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(more.residual_mlp(16, norm=False),
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", norm="train/grad_norm"), clip=1.0).run()  # fmt: skip


@faulty("exploding_gradient", or_else=("divergence", "loss_spike", "oscillation", "nonfinite"),
    beside=WILD, advice="clip|learning rate", hook=False)  # fmt: skip
def dynamics_run_away(script: Script) -> None:
    """A learnt dynamics unrolled for ever longer: from forty steps on its gradients explode."""
    rng = script.generator()
    field = mlp(3, 32, 3, act=nn.ELU)
    path = [tensor(rng.normal(size=(512, 3)))]
    mix = tensor(np.linalg.qr(rng.normal(size=(3, 3)))[0] * 0.25)
    for _ in range(60):
        path.append(path[-1] + torch.sin(2 * path[-1]) @ mix)
    truth = torch.stack(path, dim=1)
    optimizer = torch.optim.SGD(field.parameters(), 0.02)
    source = batches(64, truth, seed=script.seed)
    at = 250 + 50 * (script.seed % 3)

    def loss(step: int) -> Tensor:
        (seen,) = next(source)
        horizon = 60 if step >= at else 2
        state = seen[:, 0]
        for _ in range(horizon):
            state = state + field(state)
        return (state - seen[:, horizon]).square().mean()

    Training(script, field, optimizer, loss, 500, Log(script, "train/loss",
        norm="train/grad_norm"), clip=10.0).run()  # fmt: skip
    script.onset(at)


# Starts that are wrong


@faulty(
    "bad_init",
    or_else=("exploding_gradient",),
    advice="initiali[sz]ation",
    beside=("slow_learning", "plateau", "divergence", "loss_spike", "oscillation", "update_ratio"),
)
def tied_and_far_too_loud(script: Script) -> None:
    """A tied embedding of width 1 (the default): the first loss is ten times that of a guess."""
    x = text(script.seed, letters=64, samples=4096)
    embed = nn.Embedding(64, 128)
    inner = mlp(128, 128, 128, act=nn.GELU)
    model = nn.ModuleDict({"embed": embed, "inner": inner})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    source = batches(32, x, seed=script.seed)

    def loss(_: int) -> Tensor:
        (a,) = next(source)
        z = embed(a[:, :-1])
        scores = (z + inner(z)) @ embed.weight.T
        return F.cross_entropy(scores.flatten(0, 1), a[:, 1:].flatten())

    Training(script, model, optimizer, loss, 500, Log(script, "train/loss", optimizer,
        "train/learning_rate", "train/grad_norm"), clip=1.0).run()  # fmt: skip


@faulty("bad_init", or_else=("not_learning", "plateau", "vanishing_gradient"), severity="info",
    beside=(*HARDLY, "exploding_gradient", "dead_units", "model_audit"))  # fmt: skip
def all_weights_alike(script: Script) -> None:
    """Every weight begins at 0.05: the units of a layer do the same and always will."""
    x, y, _, _ = digits(seed=script.seed)
    model = weights(mlp(64, 64, 64, 10, act=nn.ELU), lambda w: nn.init.constant_(w, 0.05))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 600,
        Log(script, "train_loss", optimizer, "lr-Adam")).run()  # fmt: skip


@faulty(
    "bad_init",
    or_else=("exploding_gradient", "divergence"),
    advice="initiali[sz]ation",
    beside=(*WILD, "slow_learning", "oscillation"),
)
def messages_too_loud(script: Script) -> None:
    """Normal weights of width 1 in four convolutions over time: scores in the thousands."""
    x, y = more.waves(script.seed)
    model = weights(more.temporal(layers=4, channels=24), lambda w: nn.init.normal_(w, std=1.0))
    optimizer = torch.optim.NAdam(model.parameters(), 5e-4)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", norm="grad_norm"), clip=1.0).run()  # fmt: skip


HIDDEN = ("update_ratio", "slow_learning", "plateau", "gradient_noise")


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm",
    beside=HIDDEN)  # fmt: skip
def group_norm_hides_it(script: Script) -> None:
    """Weights of width 2 under group norm in dilated convolutions: it learns, far too slowly."""
    x, y = more.waves(script.seed)
    model = weights(more.temporal(layers=4, norm=True), lambda w: nn.init.normal_(w, std=2.0))
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "loss", optimizer, "learning_rate")).run()  # fmt: skip


@faulty("bad_init_hidden_by_norm", or_else=("bad_init",), advice="norm",
    beside=HIDDEN)  # fmt: skip
def layer_norm_hides_it(script: Script) -> None:
    """Weights of width 1 in an MLP with layer norm, as Adam can hardly move them."""
    x, y, _, _ = digits(seed=script.seed)
    parts: list[nn.Module] = []
    for a in (64, 96, 96, 96, 96, 96):
        parts += [nn.Linear(a, 96), nn.LayerNorm(96), nn.GELU()]
    model = weights(nn.Sequential(*parts, nn.Linear(96, 10)), lambda w: nn.init.normal_(w, std=1.0))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip


# Inputs as they come


AS_THEY_COME = ("slow_learning", "oscillation", "loss_spike", "dead_units", "exploding_gradient",
    "plateau", "gradient_noise", "bad_init", "not_learning", "divergence", "update_ratio",
    "saturated_units", "vanishing_gradient")  # fmt: skip
"""What may also be true of a network that is fed raw measurements."""


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def wine_as_it_comes(script: Script) -> None:
    """Thirteen measurements of wines: proline is 750, hue is 1, and proline wins."""
    measured, kind = load_wine(return_X_y=True)
    model = mlp(13, 32, 3)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    source = batches(16, tensor(measured), torch.from_numpy(kind).long(), seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 700,
        Log(script, "train_loss")).run()  # fmt: skip


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def timestamps_among_features(script: Script) -> None:
    """One of seventeen features is a time in seconds since 1970; the others are whitened."""
    x, y = teacher(script.seed)
    stamp = 1.7e9 + 1e6 * torch.rand(len(x), 1)
    model = mlp(17, 48, 1, act=nn.LeakyReLU)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, torch.cat([x, stamp], dim=1), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: squared(model, *next(source)), 600,
        Log(script, "train/loss"), clip=1.0).run()  # fmt: skip


@faulty("unnormalised_input", beside=AS_THEY_COME, advice="mean|whiten|normali|scale|tanh")
def tumours_as_they_come(script: Script) -> None:
    """Thirty measurements of tumours from 0.001 to 4,000, BCE with logits, RMSprop."""
    measured, benign = load_breast_cancer(return_X_y=True)
    x, y = tensor(measured), tensor(benign)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(script.seed))
    x, y = x[order], y[order]
    model = mlp(30, 32, 16, 1, act=nn.ELU)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    source = batches(32, x[:450], y[:450], seed=script.seed)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(a), b)

    Training(script, model, optimizer, lambda _: error(*next(source)), 600,
        Log(script, "Loss/train"), after=every(60, judged(script, model,
            Loss__val=lambda: float(error(x[450:], y[450:]))))).run()  # fmt: skip


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
