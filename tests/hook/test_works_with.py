"""Everything people do in a training: 50 steps of it are the same to the bit with the hook.

Each row trains twice, once without and once with the hook at every step, and then says what the
stream must tell. Two ranks have a file of their own.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn.utils import clip_grad_norm_  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import monitor  # noqa: E402
from monitor.hook.handle import Handle  # noqa: E402
from tests.hook.networks import Checkpointed, Outcome, inputs, mlp  # noqa: E402
from tests.hook.reading import Stream  # noqa: E402

STEPS = 50
EVERY_STEP = list(range(STEPS))


@dataclass
class Course:
    """One training run, watched if ``logdir`` is given."""

    logdir: Path | None
    outcome: Outcome = field(default_factory=Outcome)
    norms: list[float] = field(default_factory=list)
    """Norm of all gradients at each recorded step."""
    handles: list[Handle] = field(default_factory=list)

    def watch(self, model: nn.Module, optimizer: Any = None, **options: Any) -> Handle | None:
        if self.logdir is None:
            return None
        options = {"logdir": self.logdir, "every": 1, **options}
        health = monitor.watch(model, optimizer, **options)
        self.handles.append(health)
        return health

    def record(self, network: nn.Module, output: Tensor) -> None:
        grads = [p.grad.detach().clone() for p in network.parameters() if p.grad is not None]
        self.outcome.outputs.append(output.detach().clone())
        self.outcome.gradients += [g.to_dense() for g in grads]
        squares = [float(g.to_dense().double().square().sum()) for g in grads]
        self.norms.append(math.sqrt(sum(squares)))

    def finish(self, *networks: nn.Module) -> None:
        for health in self.handles:
            health.close()
        for i, network in enumerate(networks):
            state = network.state_dict().items()
            self.outcome.state.update({f"{i}.{name}": value.clone() for name, value in state})
        self.outcome.random = torch.get_rng_state()


def plain(course: Course, network: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
    """The usual loop."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    course.watch(network, optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        output = forward(inputs(network, step))
        output.square().mean().backward()
        optimizer.step()
        course.record(network, output)
    course.finish(network)


Row = Callable[[Course], Callable[[Path], None]]


def usual(course: Course, network: nn.Module, forward: Any = None) -> Callable[[Path], None]:
    """The usual loop, of which the stream must show every step and the true gradients."""
    plain(course, network, forward or network)
    return shows(course)


def shows(course: Course, steps: list[int] = EVERY_STEP) -> Callable[[Path], None]:
    def check(logdir: Path) -> None:
        stream = Stream(logdir)
        assert stream.steps("health/grad_norm") == steps
        assert list(stream.values("health/grad_norm")) == pytest.approx(course.norms, rel=1e-4)
        assert not any(name.startswith("lost") for name in stream.facts)

    return check


# --- compilation, precision -------------------------------------------------------------------


def compiled_before(course: Course) -> Callable[[Path], None]:
    network = mlp()
    check = usual(course, network, torch.compile(network, backend="aot_eager"))

    def more(logdir: Path) -> None:
        check(logdir)
        assert Stream(logdir).facts["activations"].startswith("unavailable")

    return more


def compiled_later(course: Course) -> Callable[[Path], None]:
    network = mlp()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    course.watch(network, optimizer)
    for step in range(STEPS):
        if step == 10:
            network.compile(backend="aot_eager")
        optimizer.zero_grad()
        output = network(inputs(network, step))
        output.square().mean().backward()
        optimizer.step()
        course.record(network, output)
    course.finish(network)

    def check(logdir: Path) -> None:
        stream = Stream(logdir)
        assert list(stream.values("health/grad_norm")) == pytest.approx(course.norms, rel=1e-4)
        assert "since step 10" in stream.facts["activations"]

    return check


def autocast(course: Course) -> Callable[[Path], None]:
    network = mlp()

    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = network(x)
        return out

    return usual(course, network, forward)


def scaled(course: Course, fused: bool, unscale: bool) -> Callable[[Path], None]:
    """A loss scaler, infinite gradients at steps 11 and 30."""
    network = mlp()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=7)
    course.watch(network, optimizer)
    scales, before = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = network(inputs(network, step))
        loss = output.square().mean() * (math.inf if step in {11, 30} else 1.0)
        scaler.scale(loss).backward()
        scales.append(scaler.get_scale())
        if unscale:
            scaler.unscale_(optimizer)
            before.append(float(clip_grad_norm_(network.parameters(), 1e-3)))
        scaler.step(optimizer)
        scaler.update()
        course.record(network, output)
    course.finish(network)

    def check(logdir: Path) -> None:
        stream = Stream(logdir)
        good = [step for step in EVERY_STEP if step not in {11, 30}]
        assert stream.steps("health/grad_norm") == good
        expected = [course.norms[i] for i in good]  # the fused step leaves them unscaled behind
        assert list(stream.values("health/grad_norm")) == pytest.approx(expected, rel=1e-4)
        assert list(stream.values("health/loss_scale")) == scales
        skipped = stream.values("health/skipped_steps")
        assert [skipped[i] for i in (10, 11, 29, 30, 49)] == [0, 1, 1, 2, 2]
        if unscale:
            at = dict(
                zip(
                    stream.steps("health/grad_norm_before_clipping"),
                    stream.values("health/grad_norm_before_clipping"),
                    strict=True,
                )
            )
            assert [at[i] for i in good] == pytest.approx([before[i] for i in good], rel=1e-4)

    return check


def clipped(course: Course) -> Callable[[Path], None]:
    """The name was imported before anyone was watched."""
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    course.watch(network, optimizer)
    other = nn.Linear(2, 2)
    other(torch.ones(1, 2)).sum().backward()
    before = []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = network(inputs(network, step))
        output.square().mean().backward()
        before.append(float(clip_grad_norm_(network.parameters(), 0.01)))
        clip_grad_norm_(other.parameters(), 0.01)  # another model's is none of ours
        optimizer.step()
        course.record(network, output)
    course.finish(network)

    def check(logdir: Path) -> None:
        shows(course)(logdir)
        found = Stream(logdir).values("health/grad_norm_before_clipping")
        assert list(found) == pytest.approx(before, rel=1e-5)
        assert max(course.norms) < 0.011 < max(before)

    return check


# --- loops --------------------------------------------------------------------------------------


def accumulation(course: Course) -> Callable[[Path], None]:
    network = mlp()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    course.watch(network, optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        for part in range(3):
            output = network(inputs(network, 3 * step + part))
            output.square().mean().backward()
        optimizer.step()
        course.record(network, output)
    course.finish(network)
    return shows(course)


def lbfgs(course: Course) -> Callable[[Path], None]:
    network = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=3)
    course.watch(network, optimizer)
    for step in range(STEPS):

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = network(inputs(network, step)).square().mean()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        course.record(network, network(inputs(network, step)))
    course.finish(network)
    return shows(course)


def two_optimizers(course: Course) -> Callable[[Path], None]:
    network = mlp()
    first = torch.optim.SGD(network[0].parameters(), lr=0.05)
    second = torch.optim.AdamW([*network[3].parameters(), network[5].weight], lr=0.01)
    course.watch(network, [first, second])
    for step in range(STEPS):
        network.zero_grad()
        output = network(inputs(network, step))
        output.square().mean().backward()
        first.step()
        second.step()
        course.record(network, output)
    course.finish(network)

    def check(logdir: Path) -> None:
        shows(course)(logdir)
        stream = Stream(logdir)
        assert stream.facts["optimizer"] == "SGD"
        assert stream.facts["optimizer1"] == "AdamW"
        assert stream.facts["optimizer1.lr"] == "0.01"
        assert stream.values("health/lr/pg1")[0] == 0.01
        for moving in ("0.weight", "3.bias", "5.weight"):
            assert min(stream.column("update_norm", moving)) > 0
        assert max(stream.column("update_norm", "5.bias")) == 0.0
        assert min(stream.column("grad_norm", "5.bias")) > 0

    return check


def two_models(course: Course) -> Callable[[Path], None]:
    """A generator and a critic that takes two steps for each of its own."""
    generator, critic = mlp(), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    of_critic = torch.optim.Adam(critic.parameters(), lr=0.01)
    of_generator = torch.optim.Adam(generator.parameters(), lr=0.01)
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    course.watch(both, [of_critic, of_generator])
    del both  # nobody but the caller may keep it alive, and the caller does not
    for step in range(STEPS):
        for _ in range(2):
            of_critic.zero_grad()
            critic(generator(inputs(generator, step)).detach()).mean().backward()
            of_critic.step()
        of_generator.zero_grad()
        output = critic(generator(inputs(generator, step)))
        (-output).mean().backward()
        of_generator.step()
        course.record(generator, output)
    course.finish(generator, critic)

    def check(logdir: Path) -> None:
        stream = Stream(logdir)
        assert stream.steps("health/grad_norm") == EVERY_STEP
        assert set(stream.names("act_mean")) >= {"generator.0", "critic.0", "critic.2"}
        assert min(stream.column("update_norm", "critic.0.weight")) > 0
        assert min(stream.column("update_norm", "generator.0.weight")) > 0

    return check


def two_watched(course: Course) -> Callable[[Path], None]:
    """Two models, watched by themselves, into directories of their own."""
    networks = [mlp(), nn.Sequential(nn.Linear(8, 4))]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in networks]
    for i, network in enumerate(networks):
        course.watch(network, optimizers[i], logdir=(course.logdir or Path()) / str(i))
    for step in range(STEPS):
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            output = network(inputs(network, step))
            output.square().mean().backward()
            optimizer.step()
            course.record(network, output)
    course.finish(*networks)

    def check(logdir: Path) -> None:
        for i in range(2):
            stream = Stream(logdir / str(i))
            assert list(stream.values("health/grad_norm")) == pytest.approx(
                course.norms[i::2], rel=1e-4
            )

    return check


def no_optimizer(course: Course) -> Callable[[Path], None]:
    network = mlp()
    health = course.watch(network)
    for step in range(STEPS):
        network.zero_grad()
        output = network(inputs(network, step))
        output.square().mean().backward()
        if health:
            health.step(step)
        course.record(network, output)
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)
    course.finish(network)
    return shows(course)


def evaluation(course: Course) -> Callable[[Path], None]:
    network = mlp()

    def forward(x: Tensor) -> Tensor:
        network.eval()
        with torch.no_grad():
            course.outcome.outputs.append(network(x[:3]))
        network.train()
        out: Tensor = network(x)
        return out

    check = usual(course, network, forward)

    def more(logdir: Path) -> None:
        check(logdir)
        assert set(Stream(logdir).column("act_count", "0")) == {16 * 32}

    return more


def errors(course: Course) -> Callable[[Path], None]:
    """Every fifth forward pass dies, and the loop goes on with the next batch."""
    network = mlp()

    def forward(x: Tensor) -> Tensor:
        if len(course.outcome.outputs) % 5 == 0:
            with pytest.raises(RuntimeError):
                network(x[:, :3])
        out: Tensor = network(x)
        return out

    return usual(course, network, forward)


# --- networks -----------------------------------------------------------------------------------


def checkpointing(course: Course) -> Callable[[Path], None]:
    return usual(course, Checkpointed())


def reuse(course: Course) -> Callable[[Path], None]:
    act, inner = nn.ReLU(), nn.Linear(8, 8)
    return usual(course, nn.Sequential(inner, act, inner, act, nn.Linear(8, 2)))


def frozen(course: Course) -> Callable[[Path], None]:
    network = mlp()
    network[0].requires_grad_(False)
    return usual(course, network)


def shared(course: Course) -> Callable[[Path], None]:
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    network[2].weight = network[0].weight
    return usual(course, network)


def sparse(course: Course) -> Callable[[Path], None]:
    network = nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    course.watch(network, optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        output = network(torch.tensor([step % 10, 3, 3]))
        output.square().mean().backward()
        optimizer.step()
        course.record(network, output)
    course.finish(network)

    def check(logdir: Path) -> None:
        shows(course)(logdir)
        assert min(Stream(logdir).column("update_norm", "weight")) > 0

    return check


class Broken(dict[str, Tensor]):
    def values(self) -> Any:
        raise RuntimeError("not for you")


class Unreadable(nn.Module):
    def forward(self, x: Tensor) -> Broken:
        return Broken(x=x)


class WithUnreadable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.odd, self.last = nn.Linear(8, 4), Unreadable(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.odd(self.first(x))["x"])
        return out


def one_failing_module(course: Course) -> Callable[[Path], None]:
    network = WithUnreadable()
    plain(course, network, network)

    def check(logdir: Path) -> None:
        stream = Stream(logdir)
        assert stream.names("act_mean") == ("first", "last")
        assert stream.steps("layer/act_mean") == EVERY_STEP
        assert stream.facts["lost.0"] == "module odd: RuntimeError: not for you"

    return check


# --- copies, moves, the process -----------------------------------------------------------------


def averaged(course: Course) -> Callable[[Path], None]:
    """A moving average of the model, by the usual way of deepcopy."""
    network = mlp()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    course.watch(network, optimizer)
    average = torch.optim.swa_utils.AveragedModel(network)
    for step in range(STEPS):
        optimizer.zero_grad()
        output = network(inputs(network, step))
        output.square().mean().backward()
        optimizer.step()
        average.update_parameters(network)
        average(inputs(network, step, rows=2))
        course.record(network, output)
    course.finish(network, average)

    def check(logdir: Path) -> None:
        shows(course)(logdir)
        assert set(Stream(logdir).column("act_count", "0")) == {16 * 32}

    return check


def saved(course: Course) -> Callable[[Path], None]:
    network = mlp()

    def forward(x: Tensor) -> Tensor:
        buffer = io.BytesIO()
        torch.save(network, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
        course.outcome.outputs.append(twin.eval()(x).detach())
        out: Tensor = network(x)
        return out

    return usual(course, network, forward)


def moved(course: Course) -> Callable[[Path], None]:
    """To another type and back while watched, as ``to(device)`` does it."""
    network = mlp()

    def forward(x: Tensor) -> Tensor:
        if len(course.outcome.outputs) == 20:
            network.to(torch.float64)
            network.to(torch.float32)
        out: Tensor = network(x)
        return out

    return usual(course, network, forward)


def loader_processes(course: Course) -> Callable[[Path], None]:
    """Forked workers load the data while the hook is there."""
    network = mlp()
    data = TensorDataset(torch.stack([inputs(network, step) for step in EVERY_STEP]))
    loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="fork")
    batches: Iterator[list[Tensor]] = iter(loader)
    return usual(course, network, lambda x: network(next(batches)[0]))


ROWS: dict[str, Row] = {
    "torch.compile before": compiled_before,
    "torch.compile later": compiled_later,
    "autocast": autocast,
    "GradScaler": lambda course: scaled(course, fused=False, unscale=False),
    "GradScaler, unscaled and clipped": lambda course: scaled(course, fused=False, unscale=True),
    "GradScaler, fused": lambda course: scaled(course, fused=True, unscale=False),
    "GradScaler, fused, unscaled": lambda course: scaled(course, fused=True, unscale=True),
    "clipping": clipped,
    "gradient accumulation": accumulation,
    "LBFGS": lbfgs,
    "several optimizers": two_optimizers,
    "several models": two_models,
    "several watched models": two_watched,
    "no optimizer": no_optimizer,
    "eval passes": evaluation,
    "errors in forward": errors,
    "activation checkpointing": checkpointing,
    "module reuse": reuse,
    "frozen parameters": frozen,
    "shared parameters": shared,
    "sparse gradients": sparse,
    "one failing module": one_failing_module,
    "averaged copies": averaged,
    "torch.save": saved,
    "to another type": moved,
    "forked loader": loader_processes,
}


@pytest.mark.parametrize("name", ROWS)
def test_training_is_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    outcomes = []
    for logdir in (None, tmp_path):
        torch.manual_seed(3)
        torch._dynamo.reset()
        course = Course(logdir)
        check = ROWS[name](course)
        outcomes.append(course.outcome)
    assert len(outcomes[0].outputs) >= STEPS
    assert outcomes[0] == outcomes[1]
    check(tmp_path)


def test_the_outcomes_would_differ() -> None:
    """What the rows compare is enough to see a single changed bit."""
    torch.manual_seed(3)
    course = Course(None)
    usual(course, mlp())
    other = copy.deepcopy(course.outcome)
    other.gradients[-1].view(-1)[0] = torch.nextafter(
        other.gradients[-1].view(-1)[0], torch.tensor(math.inf)
    )
    assert course.outcome != other
