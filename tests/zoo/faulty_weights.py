"""Faults: what keeps weights where they are, lets them die away, or makes scores too great."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from tests.zoo import more
from tests.zoo.faulty_loss import RATE, WILD
from tests.zoo.faulty_signal import HARDLY
from tests.zoo.kinds import faulty
from tests.zoo.loop import batches
from tests.zoo.more import Log, Training
from tests.zoo.networks import Transformer, mlp
from tests.zoo.script import Script
from tests.zoo.tasks import cross_entropy, digits, next_letter, text

# Weights that stay where they are


@faulty("unchanged_weights", advice="optimizer", beside=HARDLY)
def optimizer_of_a_copy(script: Script) -> None:
    """The optimizer was made before the model was copied, and moves what nobody runs."""
    x, y, _, _ = digits(seed=script.seed)
    first = mlp(64, 64, 64, 10)
    optimizer = torch.optim.Adam(first.parameters(), 1e-3)
    model = copy.deepcopy(first)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        model.zero_grad()
        return cross_entropy(model, *next(source))

    Training(script, model, optimizer, loss, 500, Log(script, "train_loss", optimizer,
        "lr-Adam")).run()  # fmt: skip


@faulty("unchanged_weights", or_else=("update_ratio", "slow_learning", "not_learning"),
    severity="info", beside=HARDLY)  # fmt: skip
def updates_below_half_a_bit(script: Script) -> None:
    """Weights in bfloat16, fine-tuned at Adam's 1e-5: most sums round back to the old weight."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 96, 96, 10).to(torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), 1e-5)
    source = batches(64, x.to(torch.bfloat16), y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)).float(), 700,
        Log(script, "train/loss", optimizer, "train/learning_rate")).run()  # fmt: skip


@faulty(
    "update_ratio",
    or_else=("slow_learning", "not_learning", "unchanged_weights"),
    severity="info",
    beside=HARDLY,
)
def values_clipped_to_nothing(script: Script) -> None:
    """clip_grad_value_ at a millionth, where one was meant, under SGD."""
    x = text(script.seed)
    model = Transformer(depth=2)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    source = batches(32, x, seed=script.seed)
    log = Log(script, "train/loss", optimizer, "train/lr")
    rng = script.generator(98)
    with script.watch(model, optimizer):
        for step in range(600):
            optimizer.zero_grad()
            loss = next_letter(model, *next(source))
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1e-6)
            optimizer.step()
            script.clock.sleep(0.2 * float(rng.uniform(0.95, 1.05)))
            log(step, float(loss.detach()))


@faulty("unchanged_weights", or_else=("bad_init", "not_learning"), severity="info", beside=HARDLY)
def zeros_behind_zeros(script: Script) -> None:
    """The last layer and the gain before it both begin at zero: neither ever gets a gradient."""
    x, y, _, _ = digits(seed=script.seed)
    norm, head = nn.LayerNorm(64), nn.Linear(64, 10)
    for weight in (norm.weight, norm.bias, head.weight):
        nn.init.zeros_(weight)
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), norm, head)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 400,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@faulty("unchanged_weights", beside=HARDLY)
def recomputed_without_gradient(script: Script) -> None:
    """Re-entrant checkpointing of first layers, whose input wants no gradient: they get none."""
    x, y, _, _ = digits(seed=script.seed)
    body, head = mlp(64, 64, 64, 64), mlp(64, 32, 10)
    model = nn.ModuleDict({"body": body, "head": head})
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = batches(64, x, y, seed=script.seed)

    def loss(_: int) -> Tensor:
        a, b = next(source)
        return F.cross_entropy(head(F.relu(checkpoint(body, a, use_reentrant=True))), b)

    Training(script, model, optimizer, loss, 400, Log(script, "train_loss", optimizer,
        "lr-Adam")).run()  # fmt: skip


# Weights that die away

DECAYED = ("dead_units", "not_learning", "plateau", "vanishing_gradient", "slow_learning")


@faulty("update_ratio", or_else=DECAYED, severity="info", beside=(*RATE, "unchanged_weights"))
def l2_of_a_half(script: Script) -> None:
    """SGD with a weight decay of 0.5, where 0.0005 was meant: the weights die away."""
    x, y, _, _ = digits(seed=script.seed)
    model = mlp(64, 64, 64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.5)
    source = batches(64, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@faulty("update_ratio", or_else=DECAYED, severity="info",
    beside=(*RATE, "unchanged_weights", "loss_spike"))  # fmt: skip
def gains_decayed_away(script: Script) -> None:
    """The groups with and without decay were swapped, at 30: all gains of norms go to zero."""
    x = text(script.seed)
    model = Transformer(depth=2)
    gains = [p for p in model.parameters() if p.ndim < 2]
    rest = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": gains, "weight_decay": 30.0}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 3e-3)
    source = batches(32, x, seed=script.seed)
    Training(script, model, optimizer, lambda _: next_letter(model, *next(source)), 600,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


# Scores that are too great


class Attention(nn.Module):
    """One head, written by hand, with its softmax as a module."""

    def __init__(self, width: int, divisor: float) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(width, width)
        self.divisor = divisor

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(1, 2) / self.divisor
        out: Tensor = self.out(self.softmax(scores) @ self.v(x))
        return out


class Reader(nn.Module):
    """Letters [N, T] to three classes, by two such heads one after the other."""

    def __init__(self, letters: int, width: int, divisor: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.place = nn.Parameter(0.1 * torch.randn(64, width))
        self.heads = nn.ModuleList(Attention(width, divisor) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.head = nn.Linear(width, 3)

    def forward(self, letters: Tensor) -> Tensor:
        x = self.embed(letters) + self.place[: letters.shape[1]]
        for norm, attend in zip(self.norms, self.heads, strict=True):
            x = x + attend(norm(x))
        out: Tensor = self.head(x.mean(dim=1))
        return out


@faulty("saturated_units", or_else=("bad_init", "slow_learning", "not_learning"), severity="info",
    beside=(*WILD, *HARDLY, "oscillation"))  # fmt: skip
def attention_without_its_root(script: Script) -> None:
    """Wide queries and keys, and no division by the root of the width: all attention is one-hot."""
    x, y = more.counted(script.seed)
    model = Reader(6, 64, 1.0)
    for module in model.heads:
        assert isinstance(module, Attention)
        nn.init.normal_(module.q.weight, std=0.5)
        nn.init.normal_(module.k.weight, std=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    source = batches(32, x, y, seed=script.seed)
    Training(script, model, optimizer, lambda _: cross_entropy(model, *next(source)), 500,
        Log(script, "train/loss", optimizer, "train/lr")).run()  # fmt: skip


@faulty(
    "bad_init",
    advice="initiali[sz]ation",
    beside=("overfitting", "slow_learning", "plateau", "oscillation", "update_ratio"),
)
def two_towers_too_wide(script: Script) -> None:
    """Viewers and films as embeddings of width 1 (the default): their products go to 40."""
    rng = script.generator()
    users, items = rng.normal(size=(200, 4)), rng.normal(size=(150, 4))
    pairs = rng.integers(0, (200, 150), size=(6000, 2))
    liked = ((users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) > 0).astype("float32")
    model = nn.ModuleList([nn.Embedding(200, 128), nn.Embedding(150, 128)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    source = batches(64, torch.from_numpy(pairs), torch.from_numpy(liked), seed=script.seed)

    def loss(_: int) -> Tensor:
        who, yes = next(source)
        scores = (model[0](who[:, 0]) * model[1](who[:, 1])).sum(dim=1)
        return F.binary_cross_entropy_with_logits(scores, yes)

    Training(script, model, optimizer, loss, 500, Log(script, "train/bce", optimizer,
        "train/lr")).run()  # fmt: skip
