"""What the first predictions cost beside a guess, read off the graph of the loss."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

import monitor  # noqa: E402
from monitor.hook import guess  # noqa: E402
from monitor.hook.guess import LOOKS, TAG, over_guess  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

CLASSES = 8


def anyone(_: object) -> bool:
    return True


def cost(scores: Tensor, labels: Tensor) -> float:
    """Of the right label or of any, whichever is smaller, over that of a guess."""
    scores = scores.detach()
    classes = scores.shape[min(1, scores.ndim - 1)]
    right = F.cross_entropy(scores, labels)
    anyone = -F.log_softmax(scores, min(1, scores.ndim - 1)).mean()
    return min(float(right), float(anyone)) / math.log(classes)


def told(loss: Tensor) -> float:
    found = over_guess(loss, anyone)
    assert found is not None
    return float(found)


@pytest.fixture
def scores() -> Tensor:
    torch.manual_seed(0)
    made: Tensor = 3.0 * torch.randn(32, CLASSES, requires_grad=True)
    return made


@pytest.fixture
def labels() -> Tensor:
    made: Tensor = torch.randint(0, CLASSES, (32,))
    return made


SCALED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": F.cross_entropy,
    "sum": lambda s, y: F.cross_entropy(s, y, reduction="sum"),
    "loss scale": lambda s, y: 65536.0 * F.cross_entropy(s, y) / 4,
    "smoothed": lambda s, y: F.cross_entropy(s, y, label_smoothing=0.1),
    "weighted": lambda s, y: F.cross_entropy(s, y, torch.arange(1.0, CLASSES + 1)),
    "masked": lambda s, y: (F.cross_entropy(s, y, reduction="none") * (y >= 0)).mean(),
    "beside another": lambda s, y: F.cross_entropy(s, y) + 1e6 * (s**2).mean(),
    "log-softmax": lambda s, y: F.nll_loss(F.log_softmax(s, -1), y),
}


@pytest.mark.parametrize("kind", SCALED)
def test_the_scale_of_the_loss_does_not_matter(kind: str, scores: Tensor, labels: Tensor) -> None:
    found = told(SCALED[kind](scores, labels))
    assert found == pytest.approx(cost(scores, labels), rel=1e-5)


def test_what_is_ignored_is_left_out(scores: Tensor, labels: Tensor) -> None:
    labels[::3] = -100
    found = told(F.cross_entropy(scores, labels))
    kept = labels >= 0
    assert found == pytest.approx(cost(scores[kept], labels[kept]), rel=1e-5)
    labels[:] = -100
    assert math.isnan(told(F.cross_entropy(scores, labels)))
    labels = torch.randint(0, CLASSES, (32,))
    kept = labels != 2
    found = told(F.cross_entropy(scores, labels, ignore_index=2))
    assert found == pytest.approx(cost(scores[kept], labels[kept]), rel=1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (5, 6), (2, 3, 4)])
def test_places_of_an_image_or_a_sequence_count_each(shape: tuple[int, ...]) -> None:
    scores = torch.randn(4, CLASSES, *shape, requires_grad=True)
    labels = torch.randint(0, CLASSES, (4, *shape))
    found = told(F.cross_entropy(scores, labels))
    assert found == pytest.approx(cost(scores, labels), rel=1e-5)


def test_one_example_without_a_batch() -> None:
    scores, label = torch.randn(CLASSES, requires_grad=True), torch.tensor(3)
    found = told(F.cross_entropy(scores, label))
    assert found == pytest.approx(cost(scores, label), rel=1e-5)


def test_yes_or_no(scores: Tensor) -> None:
    wanted = (torch.rand(32, CLASSES) < 0.5).float()
    loss = F.binary_cross_entropy_with_logits(scores, wanted)
    either = F.binary_cross_entropy_with_logits(scores.detach(), torch.full_like(scores, 0.5))
    least = min(float(loss.detach()), float(either))
    assert told(7 * loss) == pytest.approx(least / math.log(2), rel=1e-5)


def test_of_several_it_is_the_mean(scores: Tensor, labels: Tensor) -> None:
    one, two = F.cross_entropy(scores, labels), F.cross_entropy(0 * scores, labels)
    right = (cost(scores, labels) + 1.0) / 2
    assert told(one + 0.1 * two) == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: (s**2).mean(),
        lambda s: F.l1_loss(s, torch.zeros_like(s)),
        lambda s: F.cross_entropy(s, torch.softmax(torch.randn_like(s), -1)),
        lambda s: F.cross_entropy(s[:, :1], torch.zeros(len(s), dtype=torch.long)),
        lambda s: F.kl_div(F.log_softmax(s, -1), torch.full_like(s, 1 / CLASSES), reduction="sum"),
    ],
)
def test_of_what_has_no_labels_nothing_is_said(
    loss: Callable[[Tensor], Tensor], scores: Tensor
) -> None:
    assert over_guess(loss(scores), anyone) is None


def test_what_was_trained_before_costs_less_than_a_guess(scores: Tensor) -> None:
    assert told(F.cross_entropy(30 * scores, scores.argmax(1))) < 0.1
    assert told(F.binary_cross_entropy_with_logits(30 * scores, (scores > 0).float())) < 0.1


def test_a_margin_that_is_asked_for_is_no_wrong_scale() -> None:
    """ArcFace: 64 times the cosine, of the right one at half a radian more."""
    x, weight = (F.normalize(torch.randn(n, 256, requires_grad=True)) for n in (64, 1000))
    cosine = x @ weight.T
    labels = torch.randint(0, 1000, (64,))
    wider = torch.cos(torch.acos(cosine) + 0.5)
    scores = 64 * torch.where(F.one_hot(labels, 1000) > 0, wider, cosine)
    loss = F.cross_entropy(scores, labels)
    assert float(loss.detach()) / math.log(1000) > 5
    assert told(loss) < 3


def test_the_first_examples_stand_for_a_great_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guess, "_ELEMENTS", 5 * CLASSES)
    scores = torch.randn(64, CLASSES, requires_grad=True)
    labels = torch.randint(0, CLASSES, (64,))
    found = told(F.cross_entropy(scores, labels))
    assert found == pytest.approx(cost(scores[:5], labels[:5]), rel=1e-5)


def test_anothers_loss_says_nothing(scores: Tensor, labels: Tensor) -> None:
    assert over_guess(F.cross_entropy(scores, labels), lambda _: False) is None
    assert over_guess(torch.zeros(()), anyone) is None


def train(place: Path | None, recomputed: bool) -> Tensor:
    """The weights in the end; ``recomputed``: the loss keeps nothing for its backward pass."""
    torch.manual_seed(0)
    embed = nn.Embedding(64, 128)
    inner = nn.Sequential(nn.Linear(128, 128), nn.Dropout(0.1))
    model = nn.ModuleDict({"embed": embed, "inner": inner})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss(tokens: Tensor, labels: Tensor) -> Tensor:
        z = embed(tokens)
        return F.cross_entropy((z + inner(z)) @ embed.weight.T, labels)

    with contextlib.ExitStack() as stack:
        if place is not None:
            stack.enter_context(monitor.watch(model, optimizer, logdir=place, every=1))
        for _ in range(6):
            optimizer.zero_grad()
            for _ in range(2):  # micro-batches
                batch = torch.randint(0, 64, (16,)), torch.randint(0, 64, (16,))
                kept = (
                    loss(*batch)
                    if not recomputed
                    else checkpoint(loss, *batch, use_reentrant=False)
                )
                (kept / 2).backward()
            optimizer.step()
    return embed.weight.detach()


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_tied_embedding_that_is_too_loud(tmp_path: Path, recomputed: bool) -> None:
    unseen = train(None, recomputed)
    assert torch.equal(train(tmp_path, recomputed), unseen)
    stream = Stream(tmp_path)
    assert stream.steps(TAG) == list(range(LOOKS))
    assert stream.values(TAG)[0] > 5
