"""Roles: what a series is for, told from the names people give to tags and runs.

Membership is decided for each series on its own, so that a role never changes hands while a
run goes on. Names are cut into words first (``trainLoss``, ``Loss/train`` and ``train_loss``
are all made of "train" and "loss"), so that ``lossless`` is no loss and ``clr`` no learning
rate.
"""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import unquote

BUILTIN: dict[str, str] = {
    "train_loss": "the loss that training minimises, as a whole",
    "train_loss_part": "a part of it: box, policy, value, kl, generator, ...",
    "val_loss": "the loss on held-out data",
    "val_loss_part": "a part of it",
    "learning_rate": "the learning rate, of each parameter group where there are several",
    "accuracy": "a score on training data: the higher the better, at most 1 or 100 %",
    "val_accuracy": "the same on held-out data",
    "grad_norm": "the norm of all gradients together",
    "reward": "rewards and returns of reinforcement learning",
    "loss_scale": "the factor by which mixed precision scales the loss",
    "step_time": "how long a training step takes, as the script measures it, in any unit",
    "throughput": "steps, samples or tokens that are trained on in a second, likewise",
}
"""The built-in roles and what each means."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z]+\d*")

_HELD_OUT = "val|vl|valid|validation|test|eval|evaluation|dev|holdout|heldout"
_HELD_OUT_WORD = re.compile(rf"(?:{_HELD_OUT})\d*")
_HELD_OUT_DIRECTORY = re.compile(rf"(?i:(?:{_HELD_OUT})[\W_\d]*|eval[_-].+)")

_PART = re.compile(
    r"entropy|ent|policy|pi|pg|actor|critic|value|vf|baseline|alpha|td"  # reinforcement learning
    r"|q\d*|qf\d*|surrogate|rewards?"
    r"|b?box|obj|objectness|cls|classification|dfl|seg|mask|rpn|rcnn|loc|localization|centerness"
    r"|giou|ciou|kpt|pose|reg|regularization|regularizer|regression|l2"
    r"|kl|kld|recon|reconstruction|latent|prior|commit|commitment|codebook|vq"
    r"|g|d|gen|generator|disc|discriminator|adv|adversarial|gan|cycle|identity|perceptual|style"
    r"|content|penalty|gp|aux|auxiliary|router|balance|balancing|z|distill|distillation"
    r"|mae|rmse|ppl|perplexity|bpb|bpc|bpd"  # the loss once more, in another measure
)
_ALONE = re.compile(
    r"b?box|obj|objectness|cls|classification|dfl|seg|mask|rpn|rcnn|loc|localization|centerness"
    r"|giou|ciou|kpt|pose|recon|reconstruction|regression|distill|distillation|perceptual"
    r"|mae|rmse|ppl|perplexity|bpb|bpc|bpd"
)
"""Parts that may as well be all there is; games' losses, penalties and priors never are."""
_LEAPS = frozenset({"ppl", "perplexity"})
_LOSS = re.compile(r"(?:loss|losses|nll|xent)\d*")
"""A negative log-likelihood, or cross-entropy, is always a loss, whatever else its name says."""
_CRITERION = re.compile(
    rf"(?:(?:tr|trn|train|training|epoch|batch|{_HELD_OUT}) )*"
    r"(?:mse|bce|ce|cross ?entropy|binary cross ?entropy|categorical cross ?entropy|cost"
    r"|mae|rmse|ppl|perplexity|bpb|bpc|bpd)"
    r"(?: (?:tr|trn|train|training|step|epoch|batch|avg|average|mean|total"
    rf"|{_HELD_OUT}))*"
)
"""A criterion's own name, with nothing beside it but when and on what it was taken."""
_ABOUT_A_LOSS = re.compile(
    r"scale|scaler|scaling|weight|weights|coef|coeff|coefficient|factor|ratio|std|stddev|var"
    r"|variance|lambda|temperature|patience|count|norm|grad|gradient|gradients|clip|clipfrac"
    r"|fraction|values|beta|fps|sps"
)
"""After "loss": a number about the loss, not the loss."""
_NEVER_A_LOSS = re.compile(r"best|lowest|smallest|min|max|time|timing|latency|duration")
"""Running extremes stand still by design."""
_OTHER_LOSSES = (("stop", "loss"), ("packet", "loss"))

_ACCURACY = re.compile(
    r"acc\d*|accuracy\d*|accuracies|auc|auroc|m?iou|map\d+|ap\d+|precision|recall|f1|dice|jaccard"
)
_AVERAGE_PRECISION = re.compile(r"(?:^|[^A-Za-z])(?:mAP(?![a-z])|(?i:m?ap)[ _@.-]?\d)")
_NO_ACCURACY = re.compile(r"(?:log|model|mixed)[ _-]?precision")
"""Parameters of variational models, without bounds; numbers of fewer bits."""

_RATE = re.compile(r"(?:^|[^a-z])(?:lr|lrate|learning[ _.-]?rate)(?![a-z])")
_ABOUT_A_RATE = re.compile(r"scale|factor|mult|multiplier|ratio|decay|gamma|patience")

_NORM = re.compile(
    r"(?:^| )(?:(?:grads?|gradients?)(?: (?:l\d*|total|global))* norms?|gradnorm|gnorm)"
    r"(?: (?:total|global|all|step|epoch|before|after|pre|post|clip|clipping|clipped|unclipped))*$"
    r"|(?:^| )norms? (?:grads?|gradients?)$"
)
_SCALE = re.compile(
    r"(?:^| )(?:(?:loss|grad|gradient|amp|fp\d*) scal(?:e|er|ing)(?: scale)?|scaler(?: scale)?)$"
)
_REWARD = re.compile(r"rewards?\d*|rew|returns?")
_ABOUT_A_REWARD = re.compile(r"scale|std|stddev|var|variance|coef|weight|threshold")


_STEP_TIME = re.compile(
    r"(?!health ).*\b(?:step|iter|iteration|batch) (?:time|timing|duration|s|secs?|seconds|ms)"
    r"(?: (?:in )?(?:s|secs?|seconds|ms|avg|mean))*"
    r"|(?:.* )?(?:secs?|seconds|ms|time) per (?:step|it|iter|iteration|batch)"
)
"""Not the hook's own: it is the clock's. Nor a plain "time", which may be all that has gone by."""
_THROUGHPUT = re.compile(
    r"(?:.*[^a-z])?(?:steps?|its?|iters?|iterations?|batches|samples?|examples?|images?|imgs?"
    r"|tokens?)(?:/|[ _-]per[ _-])(?:s|secs?|seconds?)(?:[ _-]per[ _-](?:gpu|device|rank))?"
    r"|(?:.*[^a-z])?throughput(?:\(tps\))?"
)
"""Not fps or sps: those of reinforcement learning are means since the start, and fall when the
learning begins."""


def builtin_roles(run: str, tag: str) -> frozenset[str]:
    """The built-in roles of a scalar series; a pure function of its two names."""
    tag = unquote(tag)
    plain = _WORD.findall(tag.lower())
    words = _words(tag)
    held_out = _is_held_out(run, tag, words)
    if _is_loss(tag, words):
        role = "val_loss" if held_out else "train_loss"
        return frozenset({role + "_part" if _is_part(words) else role})
    if _is_accuracy(tag, plain + words):
        return frozenset({"val_accuracy" if held_out else "accuracy"})
    found = {
        "learning_rate": _is_rate(tag, words),
        "grad_norm": _NORM.search(" ".join(words)) is not None,
        "loss_scale": _SCALE.search(" ".join(words)) is not None,
        "reward": any(map(_REWARD.fullmatch, words))
        and not any(map(_ABOUT_A_REWARD.fullmatch, words)),
    }
    if not any(found.values()) and not held_out:
        found = _speed(tag, words)
    return frozenset(role for role, member in found.items() if member)


def stands_for(run: str, tag: str) -> str | None:
    """The role of a whole loss that this part of one takes in a run that has no whole loss.

    Detectors of objects log ``train/box_loss`` and ``train/cls_loss`` and nothing else, an
    autoencoder its ``recon_loss``; without this no curve of theirs would be judged.
    """
    (role, *_) = sorted(builtin_roles(run, tag)) or [""]
    if not role.endswith("_part"):
        return None
    parts = list(filter(_PART.fullmatch, _parted(_words(unquote(tag))).split()))
    # A perplexity has a loss for its logarithm: what is noise there leaps here.
    if role == "train_loss_part" and not _LEAPS.isdisjoint(parts):
        return None
    return role.removesuffix("_part") if all(map(_ALONE.fullmatch, parts)) else None


def _speed(tag: str, words: list[str]) -> dict[str, bool]:
    rate = _THROUGHPUT.fullmatch(_HUMP.sub(" ", tag).lower()) is not None
    took = _STEP_TIME.fullmatch(" ".join(words)) is not None
    return {"throughput": rate, "step_time": took and not rate}


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _words(tag: str) -> list[str]:
    return _WORD.findall(_HUMP.sub(" ", tag).lower())


def _is_held_out(run: str, tag: str, words: list[str]) -> bool:
    """The tag says so, or else the innermost directory does.

    ``SummaryWriter.add_scalars("loss", {"train": ..., "val": ...})`` writes a tag ``loss`` in
    directories ``loss_train`` and ``loss_val``: there only the key tells them apart.
    """
    directory, stem = _plain(run.rpartition("/")[2]), _plain(tag) + "_"
    if directory.startswith(stem):
        return any(map(_HELD_OUT_WORD.fullmatch, _words(directory[len(stem) :])))
    if any(map(_HELD_OUT_WORD.fullmatch, words)) or ("held", "out") in pairwise(words):
        return True
    if run == "." or "train" in words or "training" in words:
        return False
    return _HELD_OUT_DIRECTORY.fullmatch(run.rpartition("/")[2]) is not None


def _is_loss(tag: str, words: list[str]) -> bool:
    at = [i for i, word in enumerate(words) if _LOSS.fullmatch(word)]
    if not at and _CRITERION.fullmatch(" ".join(words)):
        return True
    if not at or any(map(_NEVER_A_LOSS.fullmatch, words)):
        return False
    if any(pair in _OTHER_LOSSES for pair in pairwise(words)):
        return False
    if any(map(_ABOUT_A_LOSS.fullmatch, words[at[-1] + 1 :])):
        return False
    # Loss/accuracy, Loss/learning_rate: "Loss" is then only the name of a chart.
    end = tag.rpartition("/")[2]
    last = _WORD.findall(end.lower())
    named = "loss" in "".join(last) or any(map(_LOSS.fullmatch, last))
    return named or not (_is_accuracy(tag, last) or _is_rate(end, last))


def _is_part(words: list[str]) -> bool:
    return any(map(_PART.fullmatch, _parted(words).split()))


def _parted(words: list[str]) -> str:
    """The words but for that entropy which is no part; rl_games' ``losses/a_loss`` in full."""
    plain = re.sub(r"cross ?entropy", "crossentropy", " ".join(words))
    return re.sub(r"losses [ac] loss", "actor critic loss", plain)


def _is_accuracy(tag: str, words: list[str]) -> bool:
    if _NO_ACCURACY.search(tag.lower()):
        return False
    return any(map(_ACCURACY.fullmatch, words)) or _AVERAGE_PRECISION.search(tag) is not None


def _is_rate(tag: str, words: list[str]) -> bool:
    joined = _HUMP.sub(" ", tag).lower()
    return _RATE.search(joined) is not None and not any(map(_ABOUT_A_RATE.fullmatch, words))
