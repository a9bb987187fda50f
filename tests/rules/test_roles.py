"""Roles: names seen in real event files, and names that only look like them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules import Roles
from monitor.rules.roles import BUILTIN, builtin_roles, stands_for

TAGS = {
    "train_loss": [
        "loss", "train/loss", "Loss/train", "train_loss", "Training_Loss", "Training loss",
        "epoch_loss", "OptimizeLoss/loss", "total_loss", "Loss/total_loss", "losses/train",
        "trainLoss", "loss_step", "train_loss_epoch", "loss/0", "train%2Floss", "batch_loss",
        "cross_entropy_loss", "CrossEntropyLoss", "Loss/cross entropy", "smoothed loss", "lm loss",
        "train/nll", "nll", "xent", "mse", "train/mse", "epoch_bce", "cross_entropy", "train/ce",
        "CrossEntropy/train", "train_cost", "epoch_binary_crossentropy",
        "normalized_loss",
    ],
    "train_loss_part": [
        "Losses/Policy Loss", "Losses/Value Loss", "train/box_loss", "train/cls_loss",
        "train/obj_loss", "train/dfl_loss", "Critic_Loss", "train/value_loss", "train/entropy_loss",
        "loss_cls", "loss_bbox", "loss_rpn_cls", "train/policy_gradient_loss", "q1_loss",
        "loss/qf2", "KLLoss", "train_kl_loss", "recon_loss", "Loss/regularization_loss",
        "actor_loss",
        "seg_loss", "loss_mask", "G_loss", "loss/D", "generator_loss", "aux_loss",
        "Loss/surrogate", "losses/a_loss", "losses/c_loss", "loss/reward", "losses/mean_reward",
        "train/mae", "epoch_rmse", "train/ppl", "perplexity", "train/bpb",
    ],
    "val_loss": [
        "val_loss", "Loss/val", "Loss/validation", "valid/loss", "eval/loss", "eval_loss",
        "Test loss (avg on test)", "test_loss", "loss_dev", "holdout_loss", "epoch_val_loss",
        "valLoss", "train/val_loss", "val_loss_step", "val_mse", "eval/cross_entropy", "vl_loss",
        "held_out/loss", "heldout_loss",
    ],
    "val_loss_part": [
        "val/box_loss", "val/cls_loss", "val/obj_loss", "eval/value_loss",
        "valid/ppl", "eval/perplexity", "val_rmse",
    ],
    "learning_rate": [
        "Policy/Learning Rate", "train/learning_rate", "x/lr0", "x/lr1", "x/lr2", "lr/pg0", "lr",
        "learning_rate", "lr-Adam", "lr-SGD/pg1", "learningRate", "learning-rate", "epoch_lr",
        "lrate", "actor_lr", "health/learning_rate", "learning.rate",
        "Loss/learning_rate", "losses/lr",
    ],
    "accuracy": [
        "acc", "accuracy", "epoch_accuracy", "train_accuracy", "epoch_AUC", "metrics/mAP_0.5",
        "metrics/mAP_0.5:0.95", "metrics/precision", "metrics/recall", "mIoU", "train/f1", "dice",
        "bbox/AP50", "acc1", "Loss/accuracy", "trainAcc",
    ],
    "val_accuracy": ["val_acc", "val/accuracy", "Accuracy/test", "eval/f1", "val/mAP", "valAcc"],
    "grad_norm": [
        "grad_norm", "train/grad_norm", "gradient_norm", "grad/norm", "health/grad_norm",
        "grad_2.0_norm_total", "GradNorm", "grad_norm/total", "gradients/norm", "gnorm",
        "norm/grad",
        "OptimizeLoss/global_gradient_norm", "grad_l2_norm", "train/grad_norm_before_clip",
    ],
    "reward": [
        "rollout/ep_rew_mean", "step_rewards_CartPole-v1", "episode_reward", "eval/mean_reward",
        "Environment/Cumulative Reward", "charts/episodic_return",
    ],
    "step_time": [
        "step_time", "perf/step_time", "iteration-time/iteration-time", "train_step_timing in s",
        "iter_time", "batch_time", "perf/step_time_ms", "seconds_per_step", "train/sec_per_iter",
        "timing/iteration_s",
    ],
    "throughput": [
        "global_step/sec", "perf/steps_per_sec", "steps_per_second", "it/s", "samples_per_sec",
        "throughput/samples_per_sec", "tokens_per_second_per_gpu", "images/sec", "throughput(tps)",
        "train/tokens_per_sec", "epoch_steps_per_second", "throughput",
    ],
    "loss_scale": [
        "loss_scale", "train/loss_scaler", "health/loss_scale", "lossScale", "grad_scaler",
        "scaler/scale", "amp_scale", "train/grad_scale", "fp16_scaler",
        "mixed_precision/loss_scale",
    ],
    "": [
        "losses/SPS", "losses/beta", "grad_norm_d", "lossless", "closs", "loss_weight", "loss/std",
        "loss_ratio", "early_stopping/best_loss", "min_val_loss", "stop_loss", "packet_loss",
        "loss_time",
        "time/loss", "losses/clipfrac", "losses/explained_variance", "glossary", "blossom",
        "clr", "color", "lr_scale", "lr_decay", "slr", "hp_metric", "epoch",
        "time/fps", "train/approx_kl", "train/clip_fraction", "train/explained_variance",
        "val", "value", "train_kl_weight", "train_log_precision", "train_model_precision",
        "train_recon_mse", "mse_weight", "episode_cost", "entropy",
        "grad_2.0_norm/layer1.weight", "grad_norm/encoder.0", "weight_norm",
        "norm", "gradient", "reward_scale", "map", "accelerate", "rollout/ep_len_mean",
        "dup_steps/foo", "time", "train/time", "data_time", "health/step_seconds", "val/step_time",
        "eval_samples_per_second",
        "Perf/collection time", "Perf/total_fps", "charts/SPS", "time_to_first_token", "total_time",
        "",
        "损失",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("role", "tag"), [(role, tag) for role in TAGS for tag in TAGS[role]])
def test_tags(role: str, tag: str) -> None:
    assert builtin_roles("run", tag) == ({role} if role else set())


@pytest.mark.parametrize(
    ("run", "tag", "role"),
    [
        ("validation", "epoch_loss", "val_loss"),
        ("a/b/validation", "loss", "val_loss"),
        ("run1/val", "loss", "val_loss"),
        ("run1/eval", "accuracy", "val_accuracy"),
        ("run1/Test", "loss", "val_loss"),
        ("run1/test_2", "loss", "val_loss"),
        ("run1/eval_holdout", "loss", "val_loss"),
        ("run1/val", "box_loss", "val_loss_part"),
        ("run1/val", "train_loss", "train_loss"),
        ("run1/train", "loss", "train_loss"),
        ("run1/train", "val_loss", "val_loss"),
        ("val/run1", "loss", "train_loss"),
        ("testing_things", "loss", "train_loss"),
        ("test_new_idea", "loss", "train_loss"),
        ("latest", "loss", "train_loss"),
        ("evaluate-me", "loss", "train_loss"),
        (".", "loss", "train_loss"),
        ("run1/val", "lr", "learning_rate"),
        ("run1/loss_val", "loss", "val_loss"),
        ("run1/loss_train", "loss", "train_loss"),
        ("exp/Loss_epoch_Validation", "Loss/epoch", "val_loss"),
        ("Training vs. Validation Loss_Training", "Training vs. Validation Loss", "train_loss"),
        ("Training vs. Validation Loss_Validation", "Training_vs._Validation_Loss", "val_loss"),
    ],
)
def test_the_innermost_directory_counts_only_if_it_is_nothing_else(
    run: str, tag: str, role: str
) -> None:
    assert builtin_roles(run, tag) == {role}


@given(st.text(), st.text())
@settings(deadline=None)
def test_any_name_has_at_most_two_roles_and_all_are_known(run: str, tag: str) -> None:
    roles = builtin_roles(run, tag)
    assert len(roles) <= 2
    assert roles <= set(BUILTIN)


def test_roles_of_a_file_come_before_the_built_in_ones() -> None:
    roles = Roles({"train_loss": (re.compile("^objective$"),), "mine": (re.compile("x"),)})
    assert roles.of("run", "objective") == {"train_loss"}
    assert roles.of("run", "loss") == set()
    assert roles.of("run", "val_loss_x") == {"val_loss", "mine"}


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("train/box_loss", "train_loss"),
        ("train/seg_loss", "train_loss"),
        ("val/obj_loss", "val_loss"),
        ("loss_rpn_cls", "train_loss"),
        ("recon_loss", "train_loss"),
        ("train/ppl", None),
        ("valid/ppl", "val_loss"),
        ("train/mae", "train_loss"),
        ("val_rmse", "val_loss"),
        ("losses/a_loss", None),
        ("loss/reward", None),
        ("loss", None),
        ("train/kl_loss", None),
        ("cls_entropy_loss", None),
        ("Losses/Value Loss", None),
        ("G_loss", None),
        ("lr", None),
        ("", None),
    ],
)
def test_what_may_be_all_there_is_of_a_loss(tag: str, role: str | None) -> None:
    assert stands_for("run", tag) == role
    if role is not None:
        assert Roles({role: ()}).stands_for("run", tag) is None, "the file says what the loss is"
