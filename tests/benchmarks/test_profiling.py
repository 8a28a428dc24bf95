from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.plans import own_plan
from benchmarks.profiling import (
    GROUPS,
    ITERATION,
    LOSSES,
    TRANSFORMATION,
    group_of,
    group_of_names,
    make_marked_step,
    marked,
    parts_by_sequence,
    profile_on,
    profile_once,
    profiled_events,
)
from benchmarks.trainers import trainers_for


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("aten::mkldnn_convolution", "other"),
        ("aten::convolution", "convolutions, forward"),
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
    assert group_of_names([name]) == group


def test_an_operator_belongs_to_what_called_it():
    assert group_of_names(["aten::empty", "aten::mkldnn_convolution", "aten::convolution"]) == "convolutions, forward"


def groups_of(iteration):
    """Group by the name of each operator."""
    events = profiled_events(marked(ITERATION, iteration))
    parts = parts_by_sequence(events)
    return {event.name: group_of(event, parts) for event in events}


def test_the_losses_gradient_is_the_losses():
    convolution, loss = nn.Conv3d(1, 1, 3), marked(LOSSES, nn.functional.mse_loss)
    image, target = torch.randn(1, 1, 4, 4, 4), torch.zeros(1, 1, 2, 2, 2)
    groups = groups_of(lambda: loss(convolution(image), target).backward())
    assert groups["MseLossBackward0"] == LOSSES
    assert groups["ConvolutionBackward0"] == "convolutions, backward"
    assert groups["aten::conv3d"] == "convolutions, forward"


def test_the_first_convolutions_gradient_is_not_the_transformations():
    """What has no gradient carries the sequence number of the next operator that has one."""
    convolution, transform = nn.Conv3d(1, 1, 3), marked(TRANSFORMATION, lambda image: image.flip(2) * 2)
    image = torch.randn(1, 1, 4, 4, 4)
    groups = groups_of(lambda: convolution(transform(image)).sum().backward())
    assert groups["aten::flip"] == TRANSFORMATION
    assert groups["ConvolutionBackward0"] == "convolutions, backward"


def test_only_step_1_transforms(phantom):
    plan = own_plan(phantom)
    trainers = trainers_for(plan)
    times = {name: profile_once(make_marked_step(trainers[name], plan)) for name in ("nnUNetTrainer", "LWIInit")}
    both = {"convolutions, forward", "convolutions, backward", "normalisation", "activation", "losses", "optimiser", "other"}
    assert set(times["nnUNetTrainer"]) == both
    assert set(times["LWIInit"]) == both | {"transformation", "order heads"}
    assert all(value >= 0 for groups in times.values() for value in groups.values())


def test_the_table_has_a_row_a_group(phantom):
    plan = own_plan(phantom)
    table = profile_on(plan, {"nnUNetTrainer": trainers_for(plan)["nnUNetTrainer"]})
    assert [row[0] for row in table.rows] == [*GROUPS, "iteration"]
    shares = [float(row[1].split(", ")[1].rstrip("%")) for row in table.rows[:-1]]
    assert sum(shares) == pytest.approx(100, abs=0.5)
