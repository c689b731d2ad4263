"""Latents and text states of a prepared data set, made once by the frozen base and kept as shards beside the data's.

::

    PRECOMPUTED/STAMP/info.json            what made it, and who lies in which shard
    PRECOMPUTED/STAMP/empty.safetensors    the empty prompt's states
    PRECOMPUTED/STAMP/train-000000.tar     the keys of the data's shard, in its order
      KEY.latents.npy  (2, C, h, w) float16: mean and deviation of the VAE's posterior, unscaled
      KEY.text.npy     (captions, tokens, width) float16;  KEY.pooled.npy (captions, P) for SDXL
"""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from facesnap.core.errors import InputError
from facesnap.core.images import write_atomic
from facesnap.core.weights import read_json, write_json
from facesnap.data.layout import DESCRIPTION, SPLITS, Example, decode, shards
from facesnap.data.shards import DAMAGE, read_shard, write_shard
from facesnap.training.adapter.base import Base, TextEncoding
from facesnap.training.adapter.objective import vae_precision

INFO: Final = "info.json"
EMPTY: Final = "empty.safetensors"
FORMAT: Final = "facesnap.precomputed.1"
#: Pictures that the VAE encodes at once.
BATCH: Final = 8
#: Captions whose states are remembered: templates come again and again.
REMEMBERED: Final = 512

#: The precision of the passes.
Half = Callable[[], AbstractContextManager[Any]]
#: (person, number of photos), in a shard's order.
People = list[tuple[str, int]]


@dataclass(frozen=True)
class Precomputed:
    """A finished set: ``folder``, and ``people`` by split, a list per shard."""

    folder: Path
    people: Mapping[str, list[People]]

    @cached_property
    def empty(self) -> dict[str, Tensor]:
        """The empty prompt's ``text`` (1, tokens, width), and for SDXL ``pooled`` (1, P)."""
        return load_file(self.folder / EMPTY)


class Maker:
    """The frozen parts that make the set; loaded when the first shard needs them."""

    def __init__(self, base: Base, captions: int, device: torch.device, half: Half) -> None:
        self.base, self.captions, self.device, self.half = base, captions, device, half
        self._known: dict[str, dict[str, Tensor]] = {}

    @cached_property
    def vae(self) -> Any:
        """In evaluation mode, on the device."""
        return self.base.load_vae().to(self.device).eval().requires_grad_(False)

    @cached_property
    def texts(self) -> TextEncoding:
        """On the device."""
        return self.base.load_texts(self.device)

    def samples(self, shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Key and members of every sample of a data shard. InputError for a damaged one."""
        found = iter(decode_of(sample, shard) for sample in read_shard(shard))
        while batch := list(itertools.islice(found, BATCH)):
            latents = self._latents(batch)
            for example, latent in zip(batch, latents, strict=True):
                states = self._states(example.captions[: self.captions])
                members = {"latents": latent, **states}
                yield example.key, {f"{name}.npy": _npy(value) for name, value in members.items()}

    @torch.no_grad()
    def _latents(self, batch: list[Example]) -> np.ndarray:
        pictures = np.stack([example.image for example in batch])
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
        with self.half(), vae_precision(self.vae, self.device):
            found = self.vae.encode(pixels).latent_dist
        return np.asarray(torch.stack([found.mean, found.std], dim=1).half().cpu().numpy())

    def _states(self, captions: tuple[str, ...]) -> dict[str, np.ndarray]:
        if new := [caption for caption in dict.fromkeys(captions) if caption not in self._known]:
            if len(self._known) > REMEMBERED:
                kept = {caption: self._known[caption] for caption in captions if caption in self._known}
                self._known = kept
            states = self.texts.encode(new)
            for row, caption in enumerate(new):
                self._known[caption] = {name: state[row].half() for name, state in states.items()}
        rows = [self._known[caption] for caption in captions]
        return {name: torch.stack([row[name] for row in rows]).numpy() for name in rows[0]}


def precompute(
    data: Path,
    out: Path,
    maker: Maker,
    *,
    rank: int = 0,
    processes: int = 1,
    wait: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> Precomputed:
    """Make what is missing of the set; shards are dealt to the processes, and appear whole.

    Args:
        data: the prepared data.
        out: folder for such sets; this one's lies below it, by its stamp.
        maker: what makes it.
        rank: of this process.
        processes: how many there are.
        wait: for the others.
        say: takes a line of progress.

    Raises:
        InputError: a damaged shard (named). OutputError: the folder can't be written.
    """
    stamp = stamp_of(data, maker)
    folder = out / stamp[:12]
    if (found := read_precomputed(folder)) is not None:
        return found
    pairs = [(shard, folder / shard.name) for split in SPLITS for shard in shards(data, split)]
    own = pairs[rank::processes]  # and not of what is missing, which the others change meanwhile
    for number, (source, target) in enumerate(own):
        if not target.is_file():
            count = write_shard(target, maker.samples(source))
            say(f"latents and text states: {target.name}, {count} photos, {number + 1} of {len(own)} shards")
    if rank == 0:
        write_atomic(folder / EMPTY, save({name: state.half() for name, state in maker.texts.empty().items()}))
    wait()
    if rank == 0:
        people = {split: [_people(folder / shard.name) for shard in shards(data, split)] for split in SPLITS}
        about = {"format": FORMAT, "base": maker.base.name, "family": maker.base.family, "stamp": stamp}
        write_json(folder / INFO, {**about, "people": people})
    wait()
    done = read_precomputed(folder)
    assert done is not None
    return done


def stamp_of(data: Path, maker: Maker) -> str:
    """What a set belongs to: the data, VAE and text encoders, and how many captions."""
    told = (data / DESCRIPTION).read_bytes() + f" {maker.base.stamp} {maker.captions}".encode()
    sizes = " ".join(f"{shard.name}:{shard.stat().st_size}" for split in SPLITS for shard in shards(data, split))
    return hashlib.sha256(told + sizes.encode()).hexdigest()


def read_precomputed(folder: Path) -> Precomputed | None:
    """A finished set; None if there is none."""
    if not (folder / INFO).is_file():
        return None
    info = read_json(folder / INFO)
    if info.get("format") != FORMAT:
        raise InputError(f"{folder} is of another version: delete it, it is made again")
    people = {split: [[(p, int(n)) for p, n in shard] for shard in info["people"][split]] for split in SPLITS}
    return Precomputed(folder, people)


def decode_of(sample: Mapping[str, Any], shard: Path) -> Example:
    """A sample of a shard; InputError names both."""
    try:
        return decode(sample)
    except InputError as error:
        raise InputError(f"shard {shard} is damaged: {error}") from error


def person_of(key: str) -> str:
    """The person's part of a sample's key."""
    return key.rpartition("-")[0]


def read_array(content: bytes) -> np.ndarray:
    """One ``.npy`` member."""
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def _npy(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def _people(shard: Path) -> People:
    """Who lies in a shard, from its headers."""
    try:
        with tarfile.open(shard, "r:") as tar:
            names: Iterable[str] = tar.getnames()
            keys = list(dict.fromkeys(name.partition(".")[0] for name in names))
    except DAMAGE as error:
        raise InputError(f"shard {shard} is damaged: delete it, it is made again ({error})") from error
    return [(person, len(list(group))) for person, group in itertools.groupby(keys, person_of)]
