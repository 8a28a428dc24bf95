from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.plans import own_plan
from benchmarks.profiling import (
    HEADS,
    LOSSES,
    OPERATORS,
    OTHER,
    PARTS,
    TRANSFORMATION,
    group_of,
    make_marked_step,
    marked,
    profile_on,
    profile_once,
    total,
)
from benchmarks.trainers import trainers_for


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("aten::mkldnn_convolution", "convolutions, forward"),
        ("aten::conv_transpose3d", "convolutions, forward"),
        ("autograd::engine::evaluate_function: ConvolutionBackward0", "convolutions, backward"),
        ("aten::convolution_backward", "convolutions, backward"),
        ("aten::instance_norm", "normalisation"),
        ("NativeBatchNormBackward0", "normalisation"),
        ("aten::linalg_vector_norm", "optimiser"),
        ("Optimizer.step#SGD.step", "optimiser"),
        ("aten::leaky_relu_", "activation"),
        ("aten::upsample_trilinear3d", "interpolation and pooling"),
        ("aten::cat", "other"),
    ],
)
def test_groups(name, group):
    assert group_of(name) == group


def test_a_part_holds_what_it_calls_and_counts_once():
    """A loss that convolves: its time is in its part, and in the group of the convolutions."""
    convolution = nn.Conv3d(4, 8, 3)
    image = torch.randn(1, 4, 24, 24, 24)
    times = profile_once(lambda: marked(LOSSES, convolution)(image))
    assert 0 < times["convolutions, forward"] <= times[LOSSES] <= total(times) * 1.01


def test_only_step_1_transforms(phantom):
    plan = own_plan(phantom)
    trainers = trainers_for(plan)
    times = {name: profile_once(make_marked_step(trainers[name], plan)) for name in ("nnUNetTrainer", "LWIInit")}
    both = {"convolutions, forward", "convolutions, backward", "normalisation", "activation", "optimiser", "other", LOSSES}
    assert set(times["nnUNetTrainer"]) == both
    assert set(times["LWIInit"]) == both | {TRANSFORMATION, HEADS}
    assert all(value >= 0 for groups in times.values() for value in groups.values())


def test_the_table_has_a_row_a_group(phantom):
    plan = own_plan(phantom)
    table = profile_on(plan, {"nnUNetTrainer": trainers_for(plan)["nnUNetTrainer"]})
    assert [row[0] for row in table.rows] == [*OPERATORS, OTHER, *PARTS, "iteration"]
    shares = [float(row[1].split(", ")[1].rstrip("%")) for row in table.rows[: len(OPERATORS) + 1]]
    assert sum(shares) == pytest.approx(100, abs=0.5)
