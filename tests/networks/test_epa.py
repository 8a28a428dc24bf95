"""Efficient paired attention against the paper's formulas, one sample, head and position at a time."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_lwi.networks.epa import EPABlock, EPASettings, PairedAttention, merge_heads

TOKENS, FEATURES, PROJECTED, HEADS = 6, 8, 3, 2


def by_the_formulas(attention: PairedAttention, x: torch.Tensor) -> torch.Tensor:
    """Both branches for one sample (T, E), head by head, as products of matrices with a row per position."""
    width = FEATURES // HEADS
    queries, keys, channel_values, spatial_values = (x @ attention.qkvv.weight.T).split(FEATURES, dim=1)
    spatial, channel = torch.empty(TOKENS, FEATURES), torch.empty(TOKENS, FEATURES)
    for head in range(HEADS):
        columns = slice(head * width, (head + 1) * width)
        q, k = queries[:, columns], keys[:, columns]
        unit_q, unit_k = q / q.norm(dim=0), k / k.norm(dim=0)
        similarity = unit_q.T @ unit_k * attention.channel_temperature[head]
        channel[:, columns] = channel_values[:, columns] @ similarity.softmax(dim=1).T
        projected_k = attention.projections[0](k.T).T
        projected_v = attention.projections[-1](spatial_values[:, columns].T).T
        similarity = unit_q @ projected_k.T * attention.spatial_temperature[head]
        spatial[:, columns] = similarity.softmax(dim=1) @ projected_v
    return torch.cat([attention.spatial_output(spatial), attention.channel_output(channel)], dim=1)


@pytest.mark.parametrize("shared", [True, False])
def test_attention_is_the_papers(shared):
    torch.manual_seed(0)
    settings = EPASettings(num_heads=HEADS, shared_projection=shared)
    attention = PairedAttention(TOKENS, FEATURES, PROJECTED, settings).eval()
    x = torch.randn(2, TOKENS, FEATURES)
    with torch.no_grad():
        attention.channel_temperature.uniform_(0.5, 2)
        attention.spatial_temperature.uniform_(0.5, 2)
        expected = torch.stack([by_the_formulas(attention, sample) for sample in x])
        torch.testing.assert_close(attention(x), expected)


def test_merged_heads_stay_at_their_position():
    heads = torch.arange(TOKENS).view(1, 1, TOKENS, 1).expand(2, HEADS, TOKENS, 4)
    assert torch.equal(merge_heads(heads), torch.arange(TOKENS).view(1, TOKENS, 1).expand(2, TOKENS, 4 * HEADS))


def test_released_order_reads_feature_head_position_as_position_feature():
    heads = torch.arange(HEADS * TOKENS * 4).view(1, HEADS, TOKENS, 4)
    released = [heads[0, head, token, e] for e in range(4) for head in range(HEADS) for token in range(TOKENS)]
    assert merge_heads(heads, released_token_order=True).flatten().tolist() == released


def test_block_starts_as_convolutions_and_positions():
    """The attention's scale is 1e-6 at first (as released), so that the tokens pass through in place."""
    torch.manual_seed(0)
    block = EPABlock((2, 3, 4), FEATURES, PROJECTED, EPASettings(num_heads=HEADS)).eval()
    x = torch.randn(2, FEATURES, 2, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(block(x), x + block.convolutions(x), rtol=0, atol=1e-4)
        block.positions[0, 3 * 4 + 2 * 4 + 1] = 1
        block.convolutions[-1].weight.zero_()
        block.convolutions[-1].bias.zero_()
        difference = block(x) - x
    assert difference.abs().gt(0.5).any(dim=1)[0].nonzero().tolist() == [[1, 2, 1]]
