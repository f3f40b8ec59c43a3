"""Which candidate masks a seed votes for: prompts from scores, and a choice by overlap with them."""

from __future__ import annotations

import torch
from torch import Tensor

STRONG = 0.5
"""Share of a class's largest score from which a pixel is clearly of that class."""


def peaks(scores: Tensor, count: int) -> Tensor:
    """The strongest places of each class, one after another, more than an eighth of the longer side apart.

    Args:
        scores: (K, h, w) float.
        count: places of a class, at most.

    Returns:
        (P, 2) int64, row and column; only places of at least STRONG of the class's largest score, which is above 0.
    """
    reach = max(1, max(scores.shape[1:]) // 8)
    found = []
    for plane in scores.clone():
        limit = STRONG * plane.max()
        for _ in range(count):
            row, column = divmod(int(plane.argmax()), plane.shape[1])
            if plane[row, column] <= 0 or plane[row, column] < limit:
                break
            found.append((row, column))
            plane[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    return torch.tensor(found, dtype=torch.int64, device=scores.device).view(-1, 2)


def boxes(scores: Tensor) -> Tensor:
    """The box around each class's strong pixels.

    Args:
        scores: (K, h, w) float.

    Returns:
        (B, 4) int64: top, left, bottom, right, the last two outside; none for a class without a score above 0.
    """
    found = []
    for plane in scores:
        if plane.max() > 0:
            places = (plane >= STRONG * plane.max()).nonzero()
            found.append(torch.cat([places.amin(dim=0), places.amax(dim=0) + 1]))
    return torch.stack(found) if found else torch.zeros((0, 4), dtype=torch.int64, device=scores.device)


def vote(scores: Tensor, candidates: Tensor) -> Tensor:
    """Let each class take the candidates whose union overlaps its scores best, as far as they overlap.

    Candidates join the union one after another, the best first, while the overlap grows. Overlap is the soft IoU of
    union u and scores s: sum of min(u, s) over sum of max(u, s). Divided by the largest overlap that any mask at all
    can have with s, and squared, it is the share f of the result f * u + (1 - f) * s. The square, because even random
    masks overlap by a fifth or a third: what does not fit the seed must change little.

    Args:
        scores: (K, h, w) float in 0..1.
        candidates: (M, h, w) bool; M may be 0.

    Returns:
        (K, h, w) float in 0..1.
    """
    if len(candidates) == 0:
        return scores
    return torch.stack([_vote(plane, candidates) for plane in scores])


def _vote(scores: Tensor, candidates: Tensor) -> Tensor:
    flat, masks = scores.flatten(), candidates.flatten(1)
    total, union, overlap = flat.sum(), torch.zeros_like(masks[0]), flat.new_zeros(())
    while True:
        joined = masks | union
        # Scores are at most 1: within a mask the smaller of the two is the score, the larger one the mask.
        inside = joined.to(flat.dtype) @ flat
        overlaps = inside / (joined.sum(dim=1) + total - inside).clamp(min=1e-12)
        best = int(overlaps.argmax())
        if overlaps[best] <= overlap:
            break
        union, overlap = joined[best], overlaps[best]
    share = (overlap / _largest_overlap(flat).clamp(min=1e-12)) ** 2
    return (share * union + (1 - share) * flat).view_as(scores)


def _largest_overlap(flat: Tensor) -> Tensor:
    """The soft IoU of the best mask there can be: of masks of one size, that of the highest scores is the best."""
    inside = flat.sort(descending=True).values.cumsum(dim=0)
    size = torch.arange(1, len(flat) + 1, device=flat.device)
    return (inside / (size + flat.sum() - inside).clamp(min=1e-12)).max()
