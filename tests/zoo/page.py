"""The page of the documentation that ``python -m tests.zoo --write`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.zoo import report
from tests.zoo.kinds import Kind
from tests.zoo.score import Outcome

_HEAD = """\
# How often the rules are right

Written by `python -m tests.zoo --write` (`make zoo` without `--write`); do not edit. {runs}
recorded trainings: {kinds} kinds, {healthy} of them healthy, with seeds {seeds}. Each is a
real, small PyTorch training whose fault has a cause (a rate too high, a layer that is missing
in the optimizer, a bad batch), never a painted curve; it writes event files by `SummaryWriter`
and, in most kinds, the hook's stream, and what is scored is `monitor check` over those files
with the rules that come with the monitor (silence is judged as `monitor watch` judges it, from
files that grow). Defaults may be tuned on seeds {tune} only.

{summary}

"""

_DETECTORS = """\
## Fault by fault

`recall`: a detector that is right spoke, as loudly as it should; some causes have more than one
right name, and `by its own name` counts only the one in the first column. `delay`: median from
the step at which the fault can be seen (by construction, or computed from the data) to the
alert. `false`: runs, healthy ones or with another fault, in which the detector gave a warning
or worse that is not so, or gave it before anything was wrong.

{table}

"""

_PEERS = """\
## Beside other rules, on the same runs

`losslint` and `trainpulse` are the packages from PyPI with their defaults. The rules of
SageMaker Debugger and AUTOTRAINER are re-implemented from what was published, on the statistics
that the hook streams. Whatever a peer says counts as its loudest: it need not be critical and
need not give advice. A finding under any right name counts as found. Peers have no rules for
many of these faults.

{table}

"""

_UNSURE = """\
## What cannot be told apart

* A **plateau** and a converged run look the same: both have stopped falling. It is an `info`,
  never a warning.
* **Gradient noise** is high in every small batch; whether a larger one would be better is a
  question of cost. `info`. Where the norms of the gradients are alike it is not seen at all
  (`two_examples_with_wrong_labels`): neither the angle between gradients of successive looks nor
  the size of Adam's updates over the rate sets these runs apart from healthy ones of the zoo.
* The **model audit** looks at the model once and says what is unusual; a network may be so on
  purpose. `info` unless it is surely wrong.
* A loss that has **not left its start** may yet do so: nobody can tell before a considerable
  part of the run is over. For `not_learning` and `slow_learning` the onset is set at a fifth of
  the run, for `plateau` at a tenth of the run after the loss has come to stand.
* A loss at its **lowest** may stay there: for faults that build up the onset is where they show,
  for `overfitting` where validation has risen for good by a twentieth of its least or of its fall,
  for what climbs by and by where half of what was gained is lost.
* A **task that becomes harder** at a stroke (`longer_and_longer_horizons`) and labels that go bad
  at one (`labels_spoilt`) are the same event in a loss: it is up and stays there. The monitor
  speaks of both.
* A **value function** whose loss grows tenfold may feed on itself or follow its agent's rising
  returns. Where a reward is logged and rises it is left alone; where none is, it is an `info` from
  three times its start on (`values_that_feed_on_themselves`), critical if it grows by far more.

"""

_KINDS = """\
## The kinds

{table}
"""


def page(
    outcomes: Sequence[Outcome],
    peers: Mapping[str, Sequence[Outcome]],
    kinds: Sequence[Kind],
    seeds: Sequence[int],
    tune: Sequence[int],
) -> str:
    """Markdown; the numbers are those of ``outcomes``."""
    head = _HEAD.format(
        runs=len(outcomes),
        kinds=len(kinds),
        healthy=sum(not kind.truth.fault for kind in kinds),
        seeds=_listed(seeds),
        tune=_listed(tune),
        summary=report.summary(outcomes),
    )
    return "".join(
        [
            head,
            _DETECTORS.format(table=report.by_detector(outcomes)),
            _PEERS.format(table=report.beside(peers)),
            _UNSURE,
            _KINDS.format(table=report.catalogue(kinds)),
        ]
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
