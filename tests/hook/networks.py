"""Small networks, and a training loop that leaves behind everything that must not change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import monitor

torch.set_num_threads(1)


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)
    )


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.2),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(17, 16)
        self.positions = nn.Parameter(torch.randn(6, 16) * 0.02)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 17)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.tokens(x) + self.positions))
        return out


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        inside = checkpoint(self.block, x, use_reentrant=False)
        out: Tensor = self.head(inside)
        return out


def inputs(network: nn.Module, step: int, rows: int = 16) -> Tensor:
    """Data of step ``step`` for ``network``, from a generator of its own."""
    generator = torch.Generator().manual_seed(step)
    if isinstance(network, Transformer):
        return torch.randint(0, 17, (rows, 6), generator=generator)
    first = next(network.parameters())
    if first.ndim == 4:
        return torch.randn(rows, 3, 8, 8, generator=generator)
    return torch.randn(rows, 8, generator=generator)


def gradient_norm(parameter: nn.Parameter) -> float:
    assert parameter.grad is not None
    return float(parameter.grad.norm())


def set_(parameter: nn.Parameter, values: Tensor | float) -> None:
    """Overwrite a parameter in place."""
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(values))


@dataclass
class Outcome:
    """All that a training run computed."""

    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)
    random: Tensor = field(default_factory=lambda: torch.empty(0))

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        mine, others = self._all(), other._all()
        return (
            list(self.state) == list(other.state)
            and len(mine) == len(others)
            and all(same_bits(a, b) for a, b in zip(mine, others, strict=True))
        )

    def _all(self) -> list[Tensor]:
        return [*self.outputs, *self.gradients, *self.state.values(), self.random]


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same to the bit, NaNs too."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    one, other = (t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
    return torch.equal(one, other)


def train(
    network: nn.Module,
    logdir: Path | None,
    steps: int = 30,
    every: int = 1,
    evaluate: bool = True,
) -> Outcome:
    """Train ``network`` for ``steps`` steps, watched if ``logdir`` is given."""
    torch.manual_seed(7)
    outcome = Outcome()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    health = monitor.watch(network, optimizer, logdir=logdir, every=every) if logdir else None
    for step in range(steps):
        optimizer.zero_grad()
        output = network(inputs(network, step))
        loss = output.square().mean()
        loss.backward()
        optimizer.step()
        if health:
            health.log({"train/loss": loss}, step)
        outcome.outputs.append(output.detach().clone())
        outcome.gradients += [p.grad.clone() for p in network.parameters() if p.grad is not None]
        if evaluate and step % 7 == 3:
            network.eval()
            with torch.no_grad():
                network(inputs(network, 1000 + step, rows=3))
            network.train()
    if health:
        health.close()
    outcome.state = {name: value.clone() for name, value in network.state_dict().items()}
    outcome.random = torch.get_rng_state()
    return outcome
