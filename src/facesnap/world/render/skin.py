"""Baked skin: what a person's skin always is, painted once per person into two textures.

The rest head's skin is spread flat by Lambert's azimuthal equal-area map about the face's axis: the whole head in
one disc, no seams on the face, one scale everywhere; only the very back of the head is torn.
"""

from __future__ import annotations

from collections import OrderedDict

import moderngl
import numpy as np

#: Centre of the map's sphere, in the model's own coordinates (cm).
CENTRE = np.array([0.0, 2.0, -1.0], np.float32)
#: Atlas texels per pixel of the picture's side, and the least and the most of them.
TEXELS, SMALLEST, LARGEST = 2.75, 320, 1536
REMEMBERED = 3


def atlas_place(rest: np.ndarray) -> np.ndarray:
    """Places (V, 2) in [0, 1] in the atlas for points (V, 3) of the rest head, in the model's own coordinates."""
    direction = rest - CENTRE
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    spread = np.sqrt(2.0 * np.maximum(1.0 + direction[:, 2:3], 1e-4))
    return np.asarray((direction[:, :2] / spread * 0.5 + 0.5).astype(np.float32))


class SkinBaker:
    """Paints people's skins and keeps the last few.

    Args:
        gl: the context.
        size: side of the pictures in pixels; the atlas's follows from it.
    """

    def __init__(self, gl: moderngl.Context, size: int) -> None:
        self.gl = gl
        side = int(np.clip(TEXELS * size, SMALLEST, LARGEST))
        self._shape = (side, side)
        self._depth = gl.depth_renderbuffer(self._shape)
        self._skins: OrderedDict[str, tuple[moderngl.Texture, moderngl.Texture]] = OrderedDict()

    def get(self, key: str) -> tuple[moderngl.Texture, moderngl.Texture] | None:
        """Colour and relief of a person painted before; None if they aren't kept."""
        if key in self._skins:
            self._skins.move_to_end(key)
        return self._skins.get(key)

    def bake(
        self, key: str, skin: moderngl.VertexArray, colour: np.ndarray
    ) -> tuple[moderngl.Texture, moderngl.Texture]:
        """Paint with the bake program, whose uniforms are set, and keep the textures under ``key``.

        ``colour``: the skin's linear colour (3,), for the texels between what is painted.
        """
        made = (
            self._skins.popitem(last=False)[1]
            if len(self._skins) >= REMEMBERED
            else (self.gl.texture(self._shape, 4), self.gl.texture(self._shape, 4))
        )
        albedo, relief = made
        red, green, blue = (float(value) for value in np.sqrt(colour))
        for texture, ground in ((albedo, (red, green, blue, 0.4)), (relief, (0.5, 0.5, 0.0, 0.0))):
            ground_only = self.gl.framebuffer([texture], self._depth)
            ground_only.clear(*ground, depth=1.0)
            ground_only.release()
        target = self.gl.framebuffer([albedo, relief], self._depth)
        target.use()
        self.gl.enable_only(moderngl.DEPTH_TEST)
        skin.render()
        target.release()
        self._skins[key] = made
        return made
