"""What is said of models as such: from training, through the file and the engine, to alerts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402, N812
from torch import Tensor, nn  # noqa: E402

import monitor  # noqa: E402
from monitor.engine import Engine  # noqa: E402
from monitor.formats.event import EventDecoder  # noqa: E402
from monitor.hook import graph, guess, inspection, seams  # noqa: E402
from monitor.notices import AlertDocument, document  # noqa: E402
from monitor.rules.default import load  # noqa: E402
from monitor.rules.templates import render  # noqa: E402
from tests.hook.networks import Transformer, mlp  # noqa: E402
from tests.hook.reading import headers, payloads  # noqa: E402

AUDITS = ("OutputActivation", "LayerWithoutBias", "VeryWideConvolution")

Loss = Callable[[Tensor], Tensor]


def mse(out: Tensor) -> Tensor:
    return F.mse_loss(out, torch.zeros_like(out))


def by_hand(out: Tensor) -> Tensor:
    loss: Tensor = (out - torch.zeros_like(out)).pow(2).mean()
    return loss


def bce(out: Tensor) -> Tensor:
    return F.binary_cross_entropy(out, torch.zeros_like(out))


def bce_logits(out: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(out, torch.zeros_like(out))


def ce(out: Tensor) -> Tensor:
    out = out.flatten(0, -2)
    return F.cross_entropy(out, torch.zeros(len(out), dtype=torch.long))


def nll(out: Tensor) -> Tensor:
    return F.nll_loss(out, torch.zeros(len(out), dtype=torch.long))


def nll_of_log(out: Tensor) -> Tensor:
    return nll(out.log())


def smooth(out: Tensor) -> Tensor:
    return F.cross_entropy(out, torch.full_like(out, 0.1), label_smoothing=0.1)


def audited(network: nn.Module, x: Tensor, loss: Loss, logdir: Path) -> list[AlertDocument]:
    """Alerts of three real steps, read back from the file by the engine with the default rules."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with monitor.watch(network, optimizer, logdir=logdir):
        for _ in range(3):
            optimizer.zero_grad()
            loss(network(x)).backward()
            optimizer.step()
    engine = Engine(load())
    engine.feed(EventDecoder("run", "w").decode(payloads(logdir)))
    assert not engine.failures
    return [document(alert) for alert in engine.alerts() if alert.rule.alert in AUDITS]


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *layers)


def image(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(4))


class Written(nn.Module):
    """In the style of most scripts: functions between layers."""

    def __init__(self, bias: bool = True, end: Loss = lambda x: x) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 16, bias=bias), nn.Linear(16, 3)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fc2(F.dropout(F.relu(self.fc1(x)))))


VECTORS, IMAGES = torch.randn(6, 8), torch.randn(2, 3, 8, 8)

SICK: dict[str, tuple[Callable[[], nn.Module], Tensor, Loss, str, str, str]] = {
    # network, input, loss, alert, layer, what is said
    "ReLU at the end": (
        lambda: chain(nn.Linear(16, 1), nn.ReLU()), VECTORS, mse,
        "OutputActivation", "2", "2 (Linear 1x16) goes through ReLU",
    ),
    "ReLU at the end, squared by hand": (
        lambda: Written(end=torch.relu), VECTORS, by_hand,
        "OutputActivation", "fc2", "goes through ReLU",
    ),
    "GELU before a cross-entropy": (
        lambda: chain(nn.Linear(16, 3), nn.GELU()), VECTORS, ce,
        "OutputActivation", "2", "goes through GELU",
    ),
    "softmax before a cross-entropy": (
        lambda: chain(nn.Linear(16, 3), nn.Softmax(-1)), VECTORS, ce,
        "OutputActivation", "2", "Softmax under a cross-entropy, which applies its own",
    ),
    "softmax before a cross-entropy with soft targets": (
        lambda: Written(end=lambda x: x.softmax(-1)), VECTORS, smooth,
        "OutputActivation", "fc2", "Softmax under a cross-entropy",
    ),
    "softmax of every word": (
        lambda: nn.Sequential(Transformer(), nn.Softmax(-1)), torch.randint(0, 17, (2, 6)), ce,
        "OutputActivation", "0.head", "Softmax under a cross-entropy",
    ),
    "softmax without logarithm": (
        lambda: chain(nn.Linear(16, 3), nn.Softmax(-1)), VECTORS, nll,
        "OutputActivation", "2", "wants log-probabilities",
    ),
    "sigmoid twice": (
        lambda: chain(nn.Linear(16, 1), nn.Sigmoid()), VECTORS, bce_logits,
        "OutputActivation", "2", "Sigmoid under a loss that applies its own",
    ),
    "no bias before ReLU": (
        lambda: Written(bias=False), VECTORS, ce,
        "LayerWithoutBias", "fc1", "1 Linear layer without a bias",
    ),
    "no bias anywhere": (
        lambda: nn.Sequential(
            nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 8, bias=False), nn.Tanh(),
            nn.Linear(8, 3, bias=False),
        ), VECTORS, ce,
        "LayerWithoutBias", "0, 2, 4", "3 Linear layers without a bias",
    ),
    "a convolution without bias, pooled": (
        lambda: image(nn.Conv2d(3, 4, 3, bias=False), nn.MaxPool2d(2), nn.ReLU()), IMAGES, ce,
        "LayerWithoutBias", "0", "0 (Conv2d 4x3x3x3)",
    ),
    "two thousand filters": (
        lambda: image(nn.Conv2d(3, 2048, 3), nn.ReLU()), IMAGES, ce,
        "VeryWideConvolution", "0", "1 Conv2d layer with more than 1,024 filters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SICK)
def test_what_is_not_as_advised_becomes_one_alert(name: str, tmp_path: Path) -> None:
    make, x, loss, alert, subject, seen = SICK[name]
    torch.manual_seed(1)
    network = make()
    network(x)
    (found,) = audited(network, x, loss, tmp_path)
    assert (found["alert"], found["subject"]) == (alert, subject)
    assert (found["severity"], found["detector"]) == ("info", "model_audit")
    assert seen in found["summary"]
    assert len(found["advice"]) > 60
    assert found["onset_step"] == 0
    assert found["resolved_step"] is None


class Gated(nn.Module):
    """Squeeze and excitation, as it is mostly written: its gate has no biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.gate = nn.Sequential(
            nn.Linear(8, 4, bias=False), nn.ReLU(), nn.Linear(4, 8, bias=False), nn.Sigmoid()
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = x * self.gate(x.mean((2, 3)))[..., None, None]
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Llama(nn.Module):
    """No bias anywhere, RMS norms by hand, a gated unit, a head over the vocabulary."""

    def __init__(self, blocks: int, classes: int | None = None) -> None:
        super().__init__()
        self.words = nn.Embedding(17, 16)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(16, 16, bias=False) for name in "qkvogud"})
            for _ in range(blocks)
        )
        self.head = nn.Linear(16, classes or 17, bias=classes is not None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x)
        for b in self.blocks:
            assert isinstance(b, nn.ModuleDict)
            y = x * x.pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt()
            x = x + b["o"](F.scaled_dot_product_attention(b["q"](y), b["k"](y), b["v"](y)))
            y = x * x.pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt()
            x = x + b["d"](F.silu(b["g"](y)) * b["u"](y))
        out: Tensor = self.head(x)
        return out


class Attending(nn.Module):
    """A softmax inside, and linear outside."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.q(x) @ self.k(x).transpose(-1, -2)).softmax(-1)
        out: Tensor = self.out(weights @ self.v(x))
        return out


class Sparse(nn.Module):
    """A sparse autoencoder: the penalty looks at a hidden ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        self.code = F.relu(self.encoder(x))
        out: Tensor = self.decoder(self.code)
        return out


def sparse_loss(network: Sparse) -> Loss:
    return lambda out: (
        mse(out)
        + 0.01 * network.code.abs().mean()
        + F.l1_loss(network.code, torch.zeros_like(network.code))
    )


def hinge(out: Tensor) -> Tensor:
    return F.relu(1 - out).mean() + F.relu(out + 1).mean()


def logistic(out: Tensor) -> Tensor:
    return F.softplus(-out).mean() - F.logsigmoid(out).mean()


def resnet() -> nn.Module:
    norm = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    pooled = [nn.Conv2d(8, 8, 3, bias=False), nn.Dropout(0.1), nn.MaxPool2d(2), nn.GroupNorm(2, 8)]
    return image(*norm, *pooled, nn.ReLU())


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Tensor, Loss]] = {
    "linear output": (Written, VECTORS, ce),
    "transformer": (Transformer, torch.randint(0, 17, (2, 6)), ce),
    "no bias before norms": (resnet, IMAGES, ce),
    "no bias, ReLU, then a norm": (
        lambda: nn.Sequential(
            nn.Linear(8, 8, bias=False), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3)
        ), VECTORS, ce,
    ),
    "sigmoid for probabilities": (lambda: chain(nn.Linear(16, 1), nn.Sigmoid()), VECTORS, bce),
    "sigmoid for pixels": (lambda: chain(nn.Linear(16, 1), nn.Sigmoid()), VECTORS, mse),
    "tanh for an action": (lambda: Written(end=torch.tanh), VECTORS, by_hand),
    "softplus for what is positive": (lambda: Written(end=F.softplus), VECTORS, mse),
    "softmax and its logarithm": (
        lambda: chain(nn.Linear(16, 3), nn.Softmax(-1)), VECTORS, nll_of_log,
    ),
    "log_softmax": (lambda: chain(nn.Linear(16, 3), nn.LogSoftmax(-1)), VECTORS, nll),
    "softmax inside attention": (Attending, torch.randn(2, 5, 8), ce),
    "gates": (Gated, IMAGES, ce),
    "no bias throughout a normalised net": (lambda: Llama(1), torch.randint(0, 17, (2, 6)), ce),
    "the same with a biased classifier": (
        lambda: Llama(2, classes=3), torch.randint(0, 17, (2, 6)), ce,
    ),
    "a low-rank product": (
        lambda: chain(nn.Linear(16, 2, bias=False), nn.Linear(2, 3)), VECTORS, ce,
    ),
    "hinge loss": (lambda: chain(nn.Linear(16, 1)), VECTORS, hinge),
    "logistic loss": (lambda: chain(nn.Linear(16, 1)), VECTORS, logistic),
    "a loss that compares nothing": (
        lambda: chain(nn.Linear(16, 1), nn.ReLU()), VECTORS, lambda out: out.square().mean(),
    ),
    "patches and width one": (
        lambda: image(nn.Conv2d(3, 1536, 4, stride=4), nn.Conv2d(1536, 1100, 1), nn.ReLU()),
        IMAGES, ce,
    ),
    "depthwise": (
        lambda: image(nn.Conv2d(3, 1200, 1), nn.Conv2d(1200, 1200, 3, groups=1200), nn.ReLU()),
        IMAGES, ce,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_what_is_meant(name: str, tmp_path: Path) -> None:
    make, x, loss = HEALTHY[name]
    torch.manual_seed(1)
    network = make()
    network(x)
    assert audited(network, x, loss, tmp_path) == []


def test_a_hidden_activation_that_is_penalised_is_no_output(tmp_path: Path) -> None:
    network = Sparse()
    assert audited(network, VECTORS, sparse_loss(network), tmp_path) == []


def test_a_compiled_model_shows_nothing_of_this(tmp_path: Path) -> None:
    torch._dynamo.reset()
    network = chain(nn.Linear(16, 3), nn.Softmax(-1))
    compiled = torch.compile(network, backend="aot_eager")
    assert audited(compiled, VECTORS, ce, tmp_path) == []


def test_two_networks_in_turn(tmp_path: Path) -> None:
    """The critic's loss comes first and knows nothing of the generator's last step."""
    generator = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 4), nn.Tanh())
    critic = nn.Sequential(nn.Linear(4, 8, bias=False), nn.LeakyReLU(), nn.Linear(8, 1))
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (critic, generator)]
    with monitor.watch(both, optimizers, logdir=tmp_path):
        for _ in range(3):
            both.zero_grad()
            bce_logits(critic(generator(VECTORS).detach())).backward()
            optimizers[0].step()
            both.zero_grad()
            bce_logits(critic(generator(VECTORS))).backward()
            optimizers[1].step()
    engine = Engine(load())
    engine.feed(EventDecoder("run", "w").decode(payloads(tmp_path)))
    (alert,) = (a for a in engine.alerts() if a.rule.alert in AUDITS)
    assert set(alert.subject.split(", ")) == {"generator.0", "critic.0"}


def resumed(mended: bool, tmp_path: Path) -> list[AlertDocument]:
    """A run that was stopped after three steps and goes on, with the fault or without."""
    engine = Engine(load())
    for part, bias in enumerate((False, mended)):
        network = Written(bias=bias)
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        logdir = tmp_path / str(part)
        with monitor.watch(network, optimizer, logdir=logdir, first_step=3 * part):
            for _ in range(3):
                optimizer.zero_grad()
                ce(network(VECTORS)).backward()
                optimizer.step()
        engine.feed(EventDecoder("run", f"w{part}").decode(payloads(logdir)))
    return [document(alert) for alert in engine.alerts() if alert.rule.alert in AUDITS]


def test_a_model_that_was_mended_is_no_longer_spoken_of(tmp_path: Path) -> None:
    (gone,) = resumed(True, tmp_path)
    assert gone["resolved_step"] == 3


def test_a_model_that_is_still_the_same_is_one_alert(tmp_path: Path) -> None:
    (still,) = resumed(False, tmp_path)
    assert still["resolved_step"] is None


def test_the_function_is_unwrapped_once_enough_was_seen(tmp_path: Path) -> None:
    original = vars(Tensor)["backward"]
    network, unused = mlp(), nn.ModuleDict({"used": mlp(), "unused": nn.Linear(8, 1)})
    for model, losses in ((network, 1), (unused, inspection.LOSSES)):
        with monitor.watch(model, logdir=tmp_path / str(losses)) as health:
            for step in range(max(losses, guess.LOOKS)):
                assert vars(Tensor)["backward"] is not original
                out = model["used"](VECTORS) if isinstance(model, nn.ModuleDict) else model(VECTORS)
                mse(out).backward()
                health.step(step)
            assert vars(Tensor)["backward"] is original
    with monitor.watch(network, logdir=tmp_path / "unseen"):
        assert vars(Tensor)["backward"] is not original
    assert vars(Tensor)["backward"] is original
    assert not seams.BACKWARD._listeners


def test_somebody_elses_loss_says_nothing(tmp_path: Path) -> None:
    network, other = mlp(), Written(bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with monitor.watch(network, optimizer, logdir=tmp_path):
        for _ in range(2 * inspection.CALLS):
            ce(other(VECTORS)).backward()
        optimizer.step()
        assert not seams.BACKWARD._listeners  # it does not listen for ever
    (header,) = headers(tmp_path)
    assert header.tables["audit"].names == ("model",)


def test_a_graph_beyond_the_limit_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = mse(Written()(VECTORS))
    assert graph.graph_of(loss) is not None
    monkeypatch.setattr(graph, "LARGEST", 5)
    assert graph.graph_of(loss) is None
    assert graph.graph_of(torch.zeros(())) is None


def test_alerts_name_the_optimizer(tmp_path: Path) -> None:
    network = chain(nn.Linear(16, 1), nn.ReLU())
    audited(network, VECTORS, mse, tmp_path)
    engine = Engine(load())
    engine.feed(EventDecoder("run", "w").decode(payloads(tmp_path)))
    (alert,) = (a for a in engine.alerts() if a.rule.alert in AUDITS)
    assert alert.evidence.facts["optimizer"] == "SGD"
    assert render("with {{ optimizer }}", alert.evidence.facts) == "with SGD"
