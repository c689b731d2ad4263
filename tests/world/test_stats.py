from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from facesnap.cli import app
from facesnap.core.arkit import EXPRESSIONS, INDEX
from facesnap.world.datasets.association import chance_v, counts_of, cramers_v, evenness
from facesnap.world.datasets.shards import render_split
from facesnap.world.datasets.stats import labels_in, sampled_labels, statistics_of
from facesnap.world.datasets.stats_view import as_png, as_text


def test_cramers_v_of_known_tables():
    assert cramers_v(np.diag([500, 500, 500])) == pytest.approx(1, abs=2e-3)
    assert cramers_v(np.outer([20, 40, 40], [10, 30, 60])) == 0
    assert cramers_v(np.array([[5, 5, 0]])) == 0
    # phi = (30 * 30 - 20 * 20) / (50 * 50) = 0.2; corrected: sqrt((0.04 - 1 / 99) / (2 - 1 / 99 - 1))
    assert cramers_v(np.array([[30, 20], [20, 30]])) == pytest.approx(0.1738, abs=1e-4)


def test_small_independent_samples_are_near_0():
    rng = np.random.default_rng(0)
    values = [cramers_v(counts_of(rng.integers(0, 8, 200), rng.integers(0, 12, 200))) for _ in range(100)]
    assert np.mean(values) < 0.06  # plain V would be 0.22


def test_chance_keeps_a_persons_pictures_together():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 10)
    tone = np.repeat(rng.integers(0, 4, 60), 10)
    eyes, light = np.repeat(rng.integers(0, 4, 60), 10), rng.integers(0, 4, 600)
    assert chance_v(person, tone, eyes) > 3 * chance_v(person, tone, light)
    assert cramers_v(counts_of(tone, eyes)) < chance_v(person, tone, eyes)
    assert cramers_v(counts_of(tone, tone)) > 2 * chance_v(person, tone, tone)


def test_evenness():
    assert evenness(np.array([7, 7, 7])) == pytest.approx(1)
    assert evenness(np.array([7, 0, 0])) == 0
    assert 0.4 < evenness(np.array([90, 10])) < 0.5


def _picture(person, **labels):
    return {"person_id": person, "attributes": {}, **labels}


def test_unknown_attributes_are_counted_whatever_they_are():
    found = statistics_of([
        _picture(1, attributes={"hat": "none", "rings": 2, "worn": ["scarf", "pin"], "shiny": True, "wear": 0.5}),
        _picture(1, attributes={"hat": "cap", "rings": 2, "worn": [], "shiny": False, "wear": 0.7}),
        _picture(2, attributes={"late": "yes"}),
        _picture(2, attributes={"hat": "cap"}, style="pencil"),
    ])  # fmt: skip
    counts = {name: {value: each["count"] for value, each in counted["values"].items()}
              for name, counted in found["attributes"].items()}  # fmt: skip
    assert counts == {
        "hat": {"cap": 2, "none": 1, "(not said)": 1}, "rings": {"2": 2, "(not said)": 2},
        "worn": {"(not said)": 2, "pin + scarf": 1, "none": 1}, "shiny": {"(not said)": 2, "yes": 1, "no": 1},
        "late": {"(not said)": 3, "yes": 1}, "style": {"(not said)": 3, "pencil": 1},
    }  # fmt: skip
    assert found["attributes"]["hat"]["values"]["cap"]["share"] == 0.5
    assert found["numbers"]["wear"]["mean"] == pytest.approx(0.6)
    assert (found["people"], found["pictures"]) == (2, 4)


def test_attributes_that_are_said_now_and_then_stay_with_their_picture():
    pictures = [_picture(i, attributes={"tie": "red" if i % 2 else "blue"}) for i in range(60)]
    for picture in pictures[1::4]:  # all of them red
        picture["attributes"]["pin"] = "star"
    found = statistics_of(pictures)["association"]
    table = np.array([[30, 0], [15, 15]])
    assert found["tie"]["pin"] == pytest.approx(cramers_v(table))
    assert found["pin"]["tie"] == found["tie"]["pin"]


def test_numbers_come_out_in_their_units():
    weights = np.zeros(len(EXPRESSIONS))
    weights[INDEX["jawOpen"]] = 0.4
    camera = {"scale": 10.0, "cx": 128.0, "cy": 64.0, "inverse_distance": 0.01}
    points = np.full((72, 2), 100.0)
    points[0], points[8] = (-5, 50), (100, 178)
    labels = {"pose": {"yaw": 7.0}, "camera": camera, "size": 256, "landmarks2d": points, "visible": [True] * 72}
    still = {"expression": np.zeros(len(EXPRESSIONS)), "visible": [False] + [True] * 71}
    found = statistics_of([_picture(1, **labels, expression=weights), _picture(1, **labels | still)])
    means = {name: value["mean"] for name, value in found["numbers"].items()}
    assert means == pytest.approx({
        "yaw (degrees)": 7, "height shown (cm)": 25.6, "camera distance (cm)": 100, "focal length (mm)": 93.75,
        "face centre x": 0.5, "face centre y": 0.25, "face height": 0.5, "eye distance": 0, "landmarks outside": 1 / 72,
    })  # fmt: skip
    assert found["expressions"]["jawOpen"] == pytest.approx({"mean": 0.2, "active": 0.5, "mean_when_active": 0.4})
    assert found["hidden_landmarks"]["of_each"][0] == 0.5
    assert found["hidden_landmarks"]["mean"] == pytest.approx(0.5 / 72)


def test_what_follows_from_skin_is_seen():
    rng = np.random.default_rng(0)
    tones = ("pale", "tan", "dark")
    pictures = []
    for person in range(150):
        tone = tones[person % 3]
        for _ in range(3):
            lit = "soft" if tone == "dark" and rng.random() < 0.5 else str(rng.choice(["hard", "top"]))
            hair = str(rng.choice(["bob", "bun"]))
            pictures.append(_picture(person, attributes={"skin": tone, "light": lit, "hair": hair}))
    found = statistics_of(pictures)["independence"]
    assert found["light"]["v"] > 2 * found["light"]["chance"]
    assert found["hair"]["v"] <= found["hair"]["chance"]
    assert sum(found["hair"]["counts"]["tan"].values()) == 150


def test_rendered_splits_are_read_together(painted, tmp_path):
    for split in ("val", "test"):
        render_split(tmp_path, split, 3, images_per_person=2, workers=1, size=16)
    found = statistics_of(labels_in(tmp_path))
    assert (found["people"], found["pictures"]) == (6, 12)
    assert found["attributes"]["split"]["values"]["val"]["count"] == 6
    assert found["attributes"]["halo"]["values"] == {"golden": {"count": 12, "share": 1.0}}
    assert found["hidden_landmarks"]["of_each"][71] == 1.0
    assert found["people_numbers"]["age"]["max"] < 1


def test_the_sampler_is_counted_without_rendering(head):
    found = statistics_of(sampled_labels(12, 3, preset="cpu"))
    assert (found["people"], found["pictures"]) == (12, 36)
    assert {"skin", "hair_style", "style"} <= set(found["attributes"])
    assert found["numbers"]["height shown (cm)"]["min"] >= 25
    assert found["numbers"]["yaw (degrees)"]["max"] <= 28
    assert 0.3 < found["numbers"]["face height"]["mean"] < 0.9
    assert len(found["identity"]["sd_of_each"]) == 100
    assert "hidden_landmarks" not in found
    assert found == statistics_of(sampled_labels(12, 3, preset="cpu"))


@pytest.mark.world
def test_the_sampler_says_what_the_renderer_labels(renderer, tmp_path, monkeypatch):
    from facesnap.world.datasets import shards

    monkeypatch.setattr(shards, "_renderer", lambda size: renderer)
    folder = render_split(tmp_path, "train", 2, images_per_person=2, workers=1, size=128)
    drawn, rendered = (statistics_of(labels) for labels in (sampled_labels(2, 2), labels_in(folder)))
    for name, values in drawn["numbers"].items():
        assert values["mean"] == pytest.approx(rendered["numbers"][name]["mean"], abs=1e-3), name
    for name, counted in drawn["attributes"].items():
        assert counted == rendered["attributes"][name], name


def test_the_command_writes_numbers_and_a_picture(painted, tmp_path, capsys):
    render_split(tmp_path, "val", 4, images_per_person=3, workers=1, size=16)
    assert app.run(["world", "stats", str(tmp_path / "val"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("12 pictures of 4 people\n")
    assert "halo" in said
    found = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert found["pictures"] == 12
    picture = cv2.imread(str(tmp_path / "out" / "stats.png"))
    assert picture.shape[1] > 1000
    assert picture.std() > 10
    assert as_png(found) == (tmp_path / "out" / "stats.png").read_bytes()
    assert said.startswith(as_text(found))


def test_the_command_names_a_folder_without_shards(tmp_path, capsys):
    assert app.run(["world", "stats", str(tmp_path), "-o", str(tmp_path / "out")]) == 3
    assert "no shards" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_what_only_the_sampler_takes(tmp_path, capsys):
    arguments = ["--people", "3", "--seed", "0", "-o", str(tmp_path / "out")]
    assert app.run(["world", "stats", str(tmp_path), *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: --people, --seed can't go with a folder of shards")
    assert list(tmp_path.iterdir()) == []


def test_one_is_singular(painted, tmp_path):
    folder = render_split(tmp_path, "val", 1, images_per_person=1, workers=1, size=16)
    assert as_text(statistics_of(labels_in(folder))).startswith("1 picture of 1 person\n")
