"""What the stages export is what the product and stock libraries read."""

import dataclasses
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesnap.core.errors import AdapterError, OutputError
from facesnap.core.weights import save_whole
from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.mini import base
from facesnap.training.mini.base import encode_captions, load_vae, sample, schedule
from facesnap.training.mini.clip import patches
from facesnap.training.mini.data import to_tensor
from facesnap.training.mini.export import save_half, write_base
from facesnap.training.mini.tokens import tokenize, train_tokenizer
from facesnap.training.mini.vae import kl, whiten


@pytest.mark.parametrize(("patch", "channels"), [(2, (12, 16, 16, 16)), (4, (12, 48, 16, 16))])
def test_whitened_latents_decode_to_the_same_picture(patch: int, channels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    vae = PatchAutoencoder(block_out_channels=channels, sample_size=32, patch_size=patch).eval()
    images = torch.rand(6, 3, 32, 32)
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        assert before.mean.shape == (6, 4, 4, 4)  # the factor of 8 that pipelines read off four entries
        decoded = vae.decode(before.mean).sample
        mean, std = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        whiten(vae, mean, std)
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(after.std, before.std / std.view(1, 4, 1, 1), atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, atol=1e-4, rtol=1e-3)


def test_channels_that_no_patch_has_are_refused() -> None:
    with pytest.raises(AdapterError, match=r"patch_size=4 can't begin with \(12, 32\)"):
        PatchAutoencoder(block_out_channels=(12, 32, 16, 16), patch_size=4)


def test_kl_is_zero_for_the_standard_normal() -> None:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    assert kl(DiagonalGaussianDistribution(torch.zeros(2, 8, 4, 4))) == 0
    assert float(kl(DiagonalGaussianDistribution(torch.ones(2, 8, 4, 4)))) > 0.5


def test_tokenizer_writes_any_prompt_and_is_stock(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = train_tokenizer(["a person with red hair", "a person in a red jacket"] * 20, 600, 24)
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    for text in ("a person with red hair", "über-strange wørds, 42!"):
        ids = again(text).input_ids
        assert ids == tokenizer(text).input_ids
        assert again.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert len(again("a person with red hair").input_ids) == 7  # known words are single tokens
    assert tokenize(again, ["a", "a person"]).shape == (2, 24)


def test_patches_are_what_each_token_begins_from() -> None:
    image = torch.arange(2 * 3 * 8 * 12, dtype=torch.float32).view(2, 3, 8, 12)
    cut = patches(image, 4)
    assert cut.shape == (2, 6, 48)
    assert torch.equal(cut[1, 4].view(3, 4, 4), image[1, :, 4:8, 4:8])  # the second row's second


def test_hidden_states_of_the_image_encoder_learn_to_say_pixels(tiny_run: Any) -> None:
    from facesnap.training.mini.clip import ClipStage

    config = tiny_run.config.clip.model_copy(update={"faces": 4, "pixel_weight": 10.0})
    torch.manual_seed(0)
    stage = ClipStage(config, tiny_run.train, tiny_run.train, tiny_run.folder / "x", tiny_run.device, judge=False)
    batch = stage.draw(np.random.default_rng(0))
    assert batch["clean"].shape == (config.batch_size + 4, 3, 112, 112)
    optimizer = torch.optim.Adam(stage.modules.parameters(), lr=3e-3)
    said = []
    for _ in range(12):
        losses = stage.loss(batch)
        torch.testing.assert_close(losses["loss"], losses["contrastive"] + 10.0 * losses["pixels"])
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        said.append(float(losses["pixels"].detach()))
    assert said[-1] < 0.7 * said[0]
    plain = stage.config.model_copy(update={"pixel_weight": 0.0, "faces": 0})
    judge = ClipStage(plain, tiny_run.train, tiny_run.train, tiny_run.folder / "x", tiny_run.device, judge=True)
    assert "pixels" not in judge.loss(judge.draw(np.random.default_rng(0)))


def test_exported_vae_has_latents_of_unit_variance(tiny_run: Any) -> None:
    vae = load_vae(tiny_run.weights, torch.device("cpu"))
    with torch.no_grad():
        latents = vae.encode(to_tensor(tiny_run.train.world.images) * 2 - 1).latent_dist.mean
    np.testing.assert_allclose(latents.std((0, 2, 3)), 1.0, atol=0.05)


def test_a_sampler_told_the_truth_arrives_at_it() -> None:
    noise_schedule, truth = schedule(), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def exact(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        alpha, sigma = noise_schedule.at(timesteps, 4)
        return noise_schedule.velocity(truth, (noisy - alpha * truth) / sigma, timesteps)

    drawn = sample(exact, torch.randn(2, 3, 4, 4))
    torch.testing.assert_close(drawn, truth, atol=0.05, rtol=0)


def test_text_states_are_kept_and_belong_to_their_captions(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode_captions(tiny_run.weights, tiny_run.train, tiny_run.device, tmp_path)
    texts = tiny_run.train.world.captions  # two of each picture
    world = dataclasses.replace(tiny_run.train.world, captions=[several[:1] for several in texts])
    fewer = dataclasses.replace(tiny_run.train, world=world)
    alone = encode_captions(tiny_run.weights, fewer, tiny_run.device)
    rows = np.array([3, 1])
    drawn = alone.draw(rows, np.random.default_rng(0), 0.0)
    torch.testing.assert_close(alone.states[drawn], first.states[first.index[2 * rows]])
    assert [alone.prompts[place] for place in drawn] == [texts[row][0] for row in rows]
    assert [first.prompts[place] for place in first.draw(rows, np.random.default_rng(0), 1.0)] == ["", ""]
    monkeypatch.setattr(base, "_encode_texts", lambda *_: pytest.fail("computed again"))
    again = encode_captions(tiny_run.weights, tiny_run.train, tiny_run.device, tmp_path)
    assert torch.equal(again.states, first.states)


def test_base_folder_is_a_stock_pipeline(tiny_run: Any) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_run.weights / "base", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a portrait of a person", num_inference_steps=1).images[0].size == (64, 64)


def test_decoder_stage_sharpens_without_touching_the_latents(tiny_run: Any, tmp_path: Path) -> None:
    import shutil

    from facesnap.training.config import DecoderConfig
    from facesnap.training.loop import train
    from facesnap.training.mini.decoder import DecoderStage

    for part in ("base/vae", "face_encoder"):
        shutil.copytree(tiny_run.weights / part, tmp_path / part)
    config = DecoderConfig(steps=2, batch_size=2, bf16=False, warmup=1)
    stage = DecoderStage(config, tiny_run.train, tiny_run.train, tmp_path, tiny_run.device)
    losses = stage.loss(stage.draw(np.random.default_rng(0)))
    losses["fool"].backward(retain_graph=True)
    assert all(p.grad is None for p in stage.critic.parameters())  # fooling the critic doesn't weaken it
    losses["critic"].backward()
    assert all(p.grad is not None for p in stage.critic.parameters())
    stage.modules.zero_grad()
    train("decoder", stage, config, tmp_path, seed=0, minutes=None, device=tiny_run.device, say=lambda _: None)
    before, after = (load_vae(folder, tiny_run.device) for folder in (tiny_run.weights, tmp_path))
    pictures = to_tensor(tiny_run.train.world.images[:2]) * 2 - 1
    with torch.no_grad():
        latents = [vae.encode(pictures).latent_dist.mean for vae in (before, after)]
        decoded = [vae.decode(latents[0]).sample for vae in (before, after)]
    assert torch.equal(*latents)
    assert not torch.equal(*decoded)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 16 bytes: the libraries meet an error of the system, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    vae = PatchAutoencoder(block_out_channels=(12, 16, 16, 16), sample_size=32)
    tokenizer = train_tokenizer(["a person"], 600, 24)
    writers = {
        "vae": lambda: save_half(vae, tmp_path / "vae"),
        "base/scheduler": lambda: write_base(tmp_path),
        "tokenizer": lambda: save_whole(tmp_path / "tokenizer", tokenizer.save_pretrained),
    }
    for name, write in writers.items():
        write()
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with full_disk(), pytest.raises(OutputError, match=f"{name}: ") as caught:
            write()
        assert "\n" not in str(caught.value)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["clip", "judge_clip"])
def test_clip_is_moved_into_place_whole(
    tiny_run: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import CLIPTokenizer

    from facesnap.training.mini.run import STAGES

    stage: Any = STAGES[name](dataclasses.replace(tiny_run, folder=tmp_path))
    written: list[Path] = []
    original = type(stage.tokenizer).save_pretrained

    def watched(self: Any, folder: str) -> Any:
        written.append(Path(folder))
        return original(self, folder)

    monkeypatch.setattr(type(stage.tokenizer), "save_pretrained", watched)
    stage.export({})
    place = tmp_path / "mini" / ("base/tokenizer" if name == "clip" else "judge_clip")
    assert [path.parent for path in written] == [place.parent]
    assert written[0] != place
    assert CLIPTokenizer.from_pretrained(place).model_max_length == stage.tokenizer.model_max_length
