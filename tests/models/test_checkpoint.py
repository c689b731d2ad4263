"""Adapters: round trip, and every mismatch refused with both sides named."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from tests.models import tiny

from facesnap.core.errors import AdapterError, EncoderMismatchError, OutputError, UsageError
from facesnap.models.checkpoint import AdapterConfig, family_of, load_adapter, save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer

ENCODERS = {"face": "mini@aaaaaaaaaaaa", "appearance": "mini@bbbbbbbbbbbb"}


def pair(width: int = 16) -> tuple[FFRNet, FacialAttributeMixer]:
    torch.manual_seed(0)
    net = FFRNet.from_unet(tiny.unet(), token_width=width, vae_scale_factor=4, zero_init=False)
    return net, FacialAttributeMixer(8, 12, width, id_tokens=2, tokens=3, heads=4, decoder_layers=1)


def saved(folder: Path, dtype: torch.dtype | None = None) -> tuple[FFRNet, FacialAttributeMixer]:
    net, mixer = pair()
    config = AdapterConfig.for_unet(tiny.unet().config, ENCODERS, {"guidance_scale": 3.0})
    save_adapter(folder, net, mixer, config, dtype)
    return net, mixer


def test_round_trip(tmp_path: Path) -> None:
    net, mixer = saved(tmp_path / "adapter")
    adapter = load_adapter(tmp_path / "adapter")
    for ours, theirs in ((net, adapter.ffrnet), (mixer, adapter.mixer)):
        assert not theirs.training
        assert all(torch.equal(theirs.state_dict()[k], v) for k, v in ours.state_dict().items())
    assert adapter.config.encoders == ENCODERS
    assert adapter.config.defaults == {"guidance_scale": 3.0}
    assert {"facesnap", "torch", "diffusers", "transformers"} <= set(adapter.config.versions)
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == ["README.md", "adapter.json", "ffrnet", "mixer"]


def test_a_card_tells_people_what_it_fits_and_is_theirs_to_change(tmp_path: Path) -> None:
    saved(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for told in (
        family_of(tiny.unet().config),
        "mini@aaaaaaaaaaaa",
        "multipie-72",
        "guidance_scale `3.0`",
        "3 of width 16",
    ):
        assert told in card
    assert card.startswith("---\nlibrary_name: facesnap\n")
    (tmp_path / "README.md").write_text("mine")
    saved(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_a_card_tells_of_the_files_is_brought_up_to_date(tmp_path: Path) -> None:
    """Other settings are saved into the same folder: what the author wrote stays, the rest isn't stale."""
    saved(tmp_path)
    card = tmp_path / "README.md"
    written = card.read_text().replace("# license: for the author to say", "license: mit").replace("sd(8-16", "old(")
    card.write_text(written + "Trained on my cats.\n")
    net, mixer = pair()
    save_adapter(tmp_path, net, mixer, AdapterConfig("sd1", 768, {}, defaults={"guidance_scale": 9.0}))
    renewed = card.read_text()
    for told in ("# A FaceSnap adapter for sd1", "guidance_scale `9.0`", 'base_family: "sd1"', "license: mit"):
        assert told in renewed
    assert "guidance_scale `3.0`" not in renewed
    assert "old(" not in renewed
    assert renewed.endswith("Trained on my cats.\n")
    assert renewed.count("library_name") == renewed.count("From its author") == 1


def test_a_new_card_leaves_base_and_licence_to_the_author(tmp_path: Path) -> None:
    """A hub that reads the header must not be told what nobody said."""
    saved(tmp_path)
    header = (tmp_path / "README.md").read_text().split("---")[1]
    lines = [line for line in header.splitlines() if "license" in line or "base_model" in line]
    assert len(lines) == 2
    assert all(line.startswith("# ") for line in lines)


def test_offloaded_weights_are_no_empty_file(tmp_path: Path) -> None:
    saved(tmp_path)
    before = (tmp_path / "ffrnet/diffusion_pytorch_model.safetensors").read_bytes()
    net, mixer = pair()
    config = AdapterConfig.for_unet(tiny.unet().config, ENCODERS)
    with pytest.raises(UsageError, match=r"weights of FFRNet are offloaded layer by layer.*save before offloading"):
        save_adapter(tmp_path, net.to("meta"), mixer, config)
    assert (tmp_path / "ffrnet/diffusion_pytorch_model.safetensors").read_bytes() == before


def test_saving_in_another_precision_copies_no_hooks(tmp_path: Path) -> None:
    """Hooks of offloading hold on to the whole base, of which a deep copy would take gigabytes."""

    class Hook:
        def __deepcopy__(self, memo: object) -> None:
            raise AssertionError("a hook was copied")

    net, mixer = pair()
    net._hf_hook = Hook()
    save_adapter(tmp_path, net, mixer, AdapterConfig.for_unet(tiny.unet().config, ENCODERS), torch.float16)
    again = load_adapter(tmp_path, torch.float16).ffrnet
    assert all(torch.equal(again.state_dict()[name], t.half()) for name, t in net.state_dict().items())


def test_half_precision_on_disk_leaves_the_modules_alone(tmp_path: Path) -> None:
    net, _ = saved(tmp_path / "half", torch.float16)
    saved(tmp_path / "full")
    sizes = [(tmp_path / n / "ffrnet/diffusion_pytorch_model.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert net.dtype == torch.float32
    assert load_adapter(tmp_path / "half").ffrnet.dtype == torch.float32


def test_saving_twice_gives_the_same_files(tmp_path: Path) -> None:
    saved(tmp_path / "a")
    saved(tmp_path / "b")
    saved(tmp_path / "b")
    for file in (p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_families() -> None:
    sd = {"block_out_channels": (320, 640, 1280, 1280), "out_channels": 4}
    assert family_of({**sd, "cross_attention_dim": 768}) == "sd1"
    assert family_of({**sd, "cross_attention_dim": 1024}) == "sd2"
    sdxl = {"block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "addition_embed_type": "text_time"}
    assert family_of({**sdxl, "out_channels": 4}) == "sdxl"
    assert family_of(tiny.unet(1).config) == family_of(tiny.unet(2).config)
    assert family_of(tiny.unet().config) != family_of(tiny.unet(block_out_channels=(4, 8)).config)


def test_wrong_base_is_refused_with_both_named() -> None:
    config = AdapterConfig.for_unet(tiny.unet().config, ENCODERS)
    config.check_base(family_of(tiny.unet(3).config))
    with pytest.raises(AdapterError, match=r"sd\(8-16; text 16.*my-model is sd1"):
        config.check_base("sd1", "my-model")


def test_other_encoders_are_refused_with_both_named() -> None:
    config = AdapterConfig.for_unet(tiny.unet().config, ENCODERS)
    config.check_encoders({**ENCODERS, "shape": "extra@cccccccccccc"})
    with_landmarks = AdapterConfig.for_unet(tiny.unet().config, {**ENCODERS, "landmarks": "old@cccccccccccc"})
    with_landmarks.check_encoders(ENCODERS)
    with pytest.raises(EncoderMismatchError, match="no such encoder"):
        config.check_encoders({"face": ENCODERS["face"]})
    with pytest.raises(EncoderMismatchError, match=r"mini@aaaaaaaaaaaa.*other@dddddddddddd"):
        config.check_encoders({**ENCODERS, "face": "other@dddddddddddd"})


def test_mixer_and_network_of_different_width_are_refused(tmp_path: Path) -> None:
    net, _ = pair(16)
    _, mixer = pair(32)
    with pytest.raises(AdapterError, match=r"16.*32"):
        save_adapter(tmp_path, net, mixer, AdapterConfig.for_unet(tiny.unet().config, {}))


def test_missing_and_damaged_adapters_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter at"):
        load_adapter(tmp_path / "nowhere")
    saved(tmp_path)
    (tmp_path / "ffrnet/diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    with pytest.raises(AdapterError, match="damaged") as caught:
        load_adapter(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("landmark_layout", "dlib-68", "dlib-68.*multipie-72"),
        ("format_version", 99, "99"),
        ("family", None, "damaged"),
    ],
)
def test_adapter_json_is_checked(tmp_path: Path, key: str, value: object, message: str) -> None:
    saved(tmp_path)
    path = tmp_path / "adapter.json"
    content = json.loads(path.read_text())
    content[key] = value
    if value is None:
        del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(AdapterError, match=message):
        load_adapter(tmp_path)


def test_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        saved(tmp_path / "file" / "adapter")


def test_an_adapter_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: FFRNet, folder: str) -> None:
        (Path(folder) / "config.json").write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    saved(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(FFRNet, "save_pretrained", full)
    with pytest.raises(OutputError, match=r"ffrnet: No space left on device$"):
        saved(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
