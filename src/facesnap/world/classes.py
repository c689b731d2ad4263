"""The classes of the segmentation: their names, and the numbers that its pixels hold."""

from __future__ import annotations

#: What a pixel of the segmentation shows; beards count as hair, clear lenses as what is behind them.
CLASSES = ("background", "skin", "hair", "clothes", "glasses", "occluder")
#: Their numbers, in this order.
BACKGROUND, SKIN, HAIR, CLOTHES, GLASSES, OCCLUDER = range(len(CLASSES))
