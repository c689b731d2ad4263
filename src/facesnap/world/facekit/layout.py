"""What ICT-FaceKit light consists of: files, parts, materials, landmark vertices.

Facts of the README of https://github.com/USC-ICT/ICT-FaceKit (numbers of vertices per part, landmark and jaw line
vertices) and of its neutral mesh (materials).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from facesnap.core.arkit import EXPRESSIONS


@dataclass(frozen=True)
class Layout:
    """What a release of the model consists of; the file names follow from it."""

    texture_points: int
    faces: int
    identities: int
    expressions: tuple[str, ...]
    pupils: tuple[str, ...]
    materials: tuple[str, ...]
    parts: tuple[tuple[str, int], ...]  #: name and number of vertices, in the order of the vertices
    landmarks68: tuple[int, ...]
    jaw_right17: tuple[int, ...]
    jaw_left17: tuple[int, ...]

    @property
    def vertices(self) -> int:
        """Number of vertices of every mesh."""
        return sum(count for _, count in self.parts)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the identity meshes: the mean head plus one principal component each."""
        return tuple(f"identity{i:03d}" for i in range(self.identities))

    @property
    def shapes(self) -> tuple[str, ...]:
        """Names of all meshes that are offsets of the neutral head."""
        return (*self.identity_names, *self.expressions, *self.pupils)


#: ICT-FaceKit light.
LIGHT: Final = Layout(
    texture_points=28911,
    faces=26384,
    identities=100,
    expressions=EXPRESSIONS,
    pupils=("PupilDilate_L", "PupilDilate_R"),
    materials=(
        *("M_Face", "M_BackHead", "M_GumsTongue", "M_Teeth", "M_ScleraLeft", "M_IrisLeft"),
        *("M_ScleraRight", "M_IrisRight", "M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion", "M_EyeLashes"),
    ),
    parts=(
        *(("face", 9409), ("head_neck", 1839), ("mouth_socket", 2046), ("eye_socket_l", 384), ("eye_socket_r", 384)),
        *(("gums_tongue", 2977), ("teeth", 4412), ("sclera_l", 770), ("iris_l", 800), ("sclera_r", 770)),
        *(("iris_r", 800), ("lacrimal_l", 204), ("lacrimal_r", 204), ("eyeblend_l", 24), ("eyeblend_r", 24)),
        *(("eyeocc_l", 152), ("eyeocc_r", 152), ("lash_l", 684), ("lash_r", 684)),
    ),
    landmarks68=(
        *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
        *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269),
        *(3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275),
        *(6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
    ),
    jaw_right17=(1280, 1278, 1275, 1272, 1248, 12, 820, 1834, 1902, 243, 844, 781, 1673, 2199, 801, 1447, 800),
    jaw_left17=(3041, 3661, 3042, 4390, 3880, 3022, 3085, 2484, 4102, 4036, 3061, 2253, 3466, 3490, 3493, 3496, 3498),
)
