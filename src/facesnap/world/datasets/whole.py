"""Whether a shard has all that it should, by the headers of its members: about 20 ms for 750 of them.

What the members hold is not looked at; :mod:`facesnap.world.datasets.check` does that.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from facesnap.world.datasets.reading import DAMAGE, said
from facesnap.world.datasets.splits import SUFFIXES, Block
from facesnap.world.datasets.wording import number_of


def problem_of_shard(path: Path, block: Block, images_per_person: int) -> str:
    """Why a shard that is there can't be kept, in words; empty where it has every member of every picture."""
    try:
        with tarfile.open(path, "r:") as tar:  # goes from header to header by seeking
            held = {member.name for member in tar if member.isfile() and member.size}
    except DAMAGE as error:
        return said(error)
    wanted = {f"{key}.{suffix}" for key in block.keys(images_per_person) for suffix in SUFFIXES}
    lacking = len(wanted - held)
    return f"lacks {lacking} of {number_of(len(wanted), 'file')}" if lacking else ""
