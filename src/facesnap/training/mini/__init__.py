"""``facesnap mini train``: every weight of the embedded model, from the portrait world, one stage after another."""

from __future__ import annotations

from facesnap.training.mini.run import STAGES, train_mini

__all__ = ["STAGES", "train_mini"]
