"""FFRNet: what it copies, what it attends to, and that stock diffusers pipelines run it as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
)
from tests.models import tiny

from facesnap.core.errors import UsageError
from facesnap.landmarks.draw import draw_landmarks
from facesnap.models.ffrnet import FFRNet, embedding_channels

N = 3  # tokens


def make(seed: int = 0, **changes: Any) -> FFRNet:
    torch.manual_seed(seed)
    options = {"vae_scale_factor": 4, "zero_init": False, **changes}
    net = FFRNet.from_unet(options.pop("unet", None) or tiny.unet(), **options).eval()
    return net


def loud(net: FFRNet) -> FFRNet:
    """Strong enough residuals for a difference to be seen in a few steps of a random UNet."""
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=1.0)
    return net


def tokens(batch: int = 1, seed: int = 5, width: int = tiny.WIDTH) -> torch.Tensor:
    return torch.randn(batch, N, width, generator=torch.Generator().manual_seed(seed))


def control(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(9))


def call(net: ControlNetModel, rows: int = 1, text_seed: int = 1, **extra: Any) -> torch.Tensor:
    latents = torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    text = torch.randn(rows, 7, tiny.WIDTH, generator=torch.Generator().manual_seed(text_seed))
    with torch.no_grad():
        return net(latents, 500, text, control(rows), return_dict=False, **extra)[1]


# --- from_unet ---


def test_from_unet_agrees_with_diffusers() -> None:
    """Same config and same copied weights as ControlNetModel.from_unet gives."""
    unet = tiny.unet()
    ours = FFRNet.from_unet(unet)
    stock = ControlNetModel.from_unet(unet)
    assert {k: v for k, v in ours.config.items() if k[0] != "_"} == {
        k: v for k, v in stock.config.items() if k[0] != "_"
    }
    stock_state = stock.state_dict()
    same = [k for k, v in ours.state_dict().items() if torch.equal(v, stock_state[k])]
    differ = set(stock_state) - set(same)
    assert differ
    assert all(k.startswith("controlnet_cond_embedding") for k in differ)


def test_other_token_width_renews_only_keys_and_values() -> None:
    unet = tiny.unet()
    net = make(unet=unet, token_width=24)
    source = unet.state_dict()
    for key, value in net.state_dict().items():
        if ".attn2.to_k." in key or ".attn2.to_v." in key:
            assert value.shape[1] == 24
        elif not key.startswith("controlnet_"):
            assert torch.equal(value, source[key]), key


def test_inpainting_unet_gives_its_latent_channels() -> None:
    unet = tiny.unet(in_channels=9)
    net = make(unet=unet)
    assert torch.equal(net.conv_in.weight, unet.conv_in.weight[:, :4])


def test_encoder_hid_dim_is_not_taken_over() -> None:
    net = make(unet=tiny.unet(encoder_hid_dim=10, encoder_hid_dim_type="text_proj"))
    assert net.config.encoder_hid_dim is None
    assert net.encoder_hid_proj is None


@pytest.mark.parametrize(("factor", "count"), [(4, 3), (8, 4), (16, 5)])
def test_the_map_embedding_reaches_the_latents_size(factor: int, count: int) -> None:
    channels = embedding_channels(factor)
    assert len(channels) == count
    net = FFRNet.from_unet(tiny.unet(), vae_scale_factor=factor)
    assert net.controlnet_cond_embedding(torch.zeros(1, 3, 64, 64)).shape[-1] == 64 // factor
    with pytest.raises(UsageError, match="power of two"):
        embedding_channels(6)


def test_zero_init_is_silent_and_small_init_is_not() -> None:
    for zero, heard in ((True, False), (False, True)):
        net = make(zero_init=zero)
        with net.attend_to(tokens()):
            assert bool(call(net).any()) is heard


def test_attention_that_the_unet_lacks_starts_silent_and_reads_the_face() -> None:
    """The network can look at the face where its base looks at nothing; untrained, it gives what it gave without."""
    plain = make()
    more = make(down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"))
    more.load_state_dict(plain.state_dict(), strict=False)

    def finest(net: FFRNet, seed: int) -> torch.Tensor:
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        with net.attend_to(tokens(seed=seed)), torch.no_grad():
            return net(latents, 500, None, control(), return_dict=False)[0][1]

    assert torch.equal(finest(more, 0), finest(plain, 0))
    torch.nn.init.normal_(more.down_blocks[0].attentions[0].proj_out.weight)
    assert torch.equal(finest(plain, 0), finest(plain, 1))
    assert not torch.allclose(finest(more, 0), finest(more, 1))


def test_small_init_lets_a_few_dots_through_to_the_latents() -> None:
    """Torch's own start all but swallows them: nothing is learned of the map for hundreds of steps (docs/LOG.md)."""
    net = FFRNet.from_unet(tiny.unet(), vae_scale_factor=8, zero_init=False)
    rng = np.random.default_rng(0)
    maps = [draw_landmarks(rng.uniform(30, 100, (72, 2)), (128, 128)) for _ in range(4)]
    control = torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        told, sample = net.controlnet_cond_embedding(control), net.conv_in(torch.randn(4, 4, 16, 16))
    assert 0.1 < float((told - told.mean(0)).std() / sample.std()) < 10


# --- what it attends to ---


def test_text_is_ignored_and_tokens_are_not() -> None:
    net = loud(make())
    with net.attend_to(tokens(seed=5)):
        first, other_text = call(net, text_seed=1), call(net, text_seed=2)
    with net.attend_to(tokens(seed=6)):
        other_face = call(net)
    assert torch.equal(first, other_text)
    assert (first - other_face).abs().max() > 1e-3


def test_equals_a_stock_controlnet_that_is_handed_the_tokens() -> None:
    """A stock ControlNetModel loads the weights as they are and gives the same residuals."""
    net = loud(make())
    stock = ControlNetModel.from_config(net.config)
    stock.load_state_dict(net.state_dict())
    with net.attend_to(tokens()):
        ours = call(net)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        theirs = stock(latents, 500, tokens(), control(), return_dict=False)[1]
    torch.testing.assert_close(ours, theirs)  # the map lies in memory another way, so sums are rounded another way


def test_guidance_gives_null_tokens_to_the_first_half() -> None:
    net = loud(make())
    null = torch.zeros(1, N, tiny.WIDTH)
    with net.attend_to(tokens(), null):
        both = call(net, rows=2)
    with net.attend_to(torch.cat([null, tokens()])):
        assert torch.equal(call(net, rows=2), both)


def test_rows_follow_diffusers_order_of_prompts_and_images() -> None:
    """Images of one prompt are neighbours; the unguided half comes first."""
    net = loud(make())
    first, second = tokens(1, 5), tokens(1, 6)
    null = torch.zeros(1, N, tiny.WIDTH)
    with net.attend_to(torch.cat([first, second]), null, images_per_prompt=2):
        got = call(net, rows=8)
    with net.attend_to(torch.cat([null, null, null, null, first, first, second, second])):
        assert torch.equal(call(net, rows=8), got)


def test_outside_attend_to_is_a_clear_error() -> None:
    net = make()
    with net.attend_to(tokens()):
        call(net)
    with pytest.raises(UsageError, match="attend_to"):
        call(net)


def test_the_tokens_are_let_go_after_an_error_and_nest() -> None:
    net = loud(make())
    with net.attend_to(tokens(seed=5)):
        outer = call(net)
        with pytest.raises(RuntimeError), net.attend_to(tokens(seed=6)):
            raise RuntimeError
        assert torch.equal(call(net), outer)


def test_wrong_batch_and_width_are_named() -> None:
    net = make()
    with net.attend_to(tokens(2)), pytest.raises(UsageError, match=r"2 image\(s\).*3 rows"):
        call(net, rows=3)
    with pytest.raises(UsageError, match="not \\(1, 3, 5\\)"), net.attend_to(tokens(width=5)):
        pass
    with pytest.raises(UsageError, match="null tokens"), net.attend_to(tokens(), tokens()[:, :2]):
        pass


def test_another_thread_never_sees_this_threads_face() -> None:
    net = make()
    raised: list[str] = []

    def other() -> None:
        try:
            call(net)
        except UsageError as error:
            raised.append(str(error))

    with net.attend_to(tokens()):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(raised) == 1


def test_save_and_load_keep_the_class_and_its_output(tmp_path: Path) -> None:
    net = loud(make(token_width=24))
    net.save_pretrained(tmp_path)
    again = FFRNet.from_pretrained(tmp_path)
    assert isinstance(again, FFRNet)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in net.state_dict().items())
    with net.attend_to(tokens(width=24)), again.attend_to(tokens(width=24)):
        assert torch.allclose(call(net), call(again), rtol=1e-3, atol=1e-3)


def test_gradient_reaches_the_tokens_and_the_network() -> None:
    net = loud(make())
    face = tokens().requires_grad_()
    with net.attend_to(face):
        down, mid = net(torch.randn(1, 4, 8, 8), 10, None, control(), return_dict=False)
    (sum(d.square().mean() for d in down) + mid.square().mean()).backward()
    assert face.grad is not None
    assert face.grad.any()
    assert net.conv_in.weight.grad is not None


# --- stock pipelines ---


def run(pipe: Any, **options: Any) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    defaults = {
        "prompt": "a face",
        "image": control(),
        "num_inference_steps": 2,
        "output_type": "np",
        "generator": torch.Generator().manual_seed(0),
    }
    return np.asarray(pipe(**{**defaults, **options}).images)


Build = Callable[[FFRNet], Any]


@pytest.fixture
def text_to_image(tmp_path: Path) -> Build:
    return lambda net: StableDiffusionControlNetPipeline(**tiny.parts(tmp_path), controlnet=net)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("guess_mode", [False, True])
def test_stock_text_to_image(text_to_image: Build, guidance: float, guess_mode: bool) -> None:
    net = loud(make())
    pipe = text_to_image(net)
    options = {"guidance_scale": guidance, "guess_mode": guess_mode}
    with net.attend_to(tokens(seed=5), torch.zeros(1, N, tiny.WIDTH)):
        one, same = run(pipe, **options), run(pipe, **options)
    with net.attend_to(tokens(seed=6), torch.zeros(1, N, tiny.WIDTH)):
        other = run(pipe, **options)
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_stock_batch_of_prompts_times_images(text_to_image: Build) -> None:
    """Two people in one call come out as they do one by one."""
    net = loud(make())
    pipe = text_to_image(net)
    null = torch.zeros(1, N, tiny.WIDTH)
    people = torch.cat([tokens(seed=5), tokens(seed=6)])
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(8))
    with net.attend_to(people, null, images_per_prompt=2):
        four = run(pipe, prompt=["one", "two"], num_images_per_prompt=2, image=[control()[0]] * 2, latents=latents)
    assert len(four) == 4
    for person, prompt in ((0, "one"), (1, "two")):
        rows = slice(2 * person, 2 * person + 2)
        with net.attend_to(people[person : person + 1], null, images_per_prompt=2):
            two = run(pipe, prompt=prompt, num_images_per_prompt=2, latents=latents[rows])
        assert np.abs(two - four[rows]).max() < 1e-3


def test_beside_a_second_controlnet(text_to_image: Build) -> None:
    net = loud(make())
    torch.manual_seed(4)
    plain = ControlNetModel.from_unet(tiny.unet(), conditioning_embedding_out_channels=(16, 32, 96))
    pipe = text_to_image([net, plain])  # type: ignore[arg-type]
    options = {"image": [control(), control()], "controlnet_conditioning_scale": [1.0, 0.5]}
    with net.attend_to(tokens(), torch.zeros(1, N, tiny.WIDTH)):
        both = run(pipe, **options)
        alone = run(text_to_image(net))
    assert np.abs(both - alone).max() < 1e-4, "a zero-init ControlNet must add nothing"


@pytest.mark.parametrize("task", ["img2img", "inpaint"])
def test_stock_img2img_and_inpaint(task: str, tmp_path: Path) -> None:
    net = loud(make())
    if task == "img2img":
        pipe = StableDiffusionControlNetImg2ImgPipeline(**tiny.parts(tmp_path), controlnet=net)
        options: dict[str, Any] = {}
    else:
        pipe = StableDiffusionControlNetInpaintPipeline(**tiny.parts(tmp_path), controlnet=net)
        options = {"mask_image": torch.ones(1, 1, tiny.SIZE, tiny.SIZE)}
    options |= {"control_image": control(), "num_inference_steps": 3, "strength": 0.9}
    results = []
    for seed in (5, 6):
        with net.attend_to(tokens(seed=seed), torch.zeros(1, N, tiny.WIDTH)):
            results.append(run(pipe, **options))
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_stock_sdxl(tmp_path: Path) -> None:
    """``added_cond_kwargs`` (pooled text, sizes) pass through."""
    unet = tiny.sdxl_unet()
    net = loud(make(unet=unet, token_width=24))
    pipe = StableDiffusionXLControlNetPipeline(**tiny.sdxl_parts(tmp_path), controlnet=net)
    results = []
    for seed in (5, 6):
        with net.attend_to(tokens(seed=seed, width=24), torch.zeros(1, N, 24)):
            results.append(run(pipe))
    assert np.abs(results[0] - results[1]).max() > 1e-3
