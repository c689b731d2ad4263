"""A file of jobs: what lines mean, and that every fault is found before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facesnap.core.errors import InputError, UsageError
from facesnap.core.pose import Pose
from facesnap.pipelines.batch.jobs import FIELDS, Job, JobsError, Shared, read_jobs
from facesnap.pipelines.batch.values import Person
from facesnap.pipelines.call.prompts import CARRIED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "me.identity.safetensors"):
        (tmp_path / name).write_bytes(b"something")
    (tmp_path / "photos").mkdir()
    return tmp_path


def read(folder: Path, *lines: dict[str, Any] | str, **defaults: Any) -> list[Job]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "jobs.jsonl").write_text("\n".join(texts))
    return read_jobs(folder / "jobs.jsonl", defaults)


def line(**fields: Any) -> dict[str, Any]:
    return {"reference": "a.jpg", "prompt": "a face", **fields}


def test_a_line_says_little_or_much(folder: Path) -> None:
    plain, full = read(
        folder,
        line(),
        "",
        line(
            name="me",
            prompt=["one", "two"],
            negative_prompt="blurry",
            pose=[None, {"yaw": 20, "expression": {"smile": 0.8}}, {"from": "b.jpg"}],
            seed=5,
            count=2,
            num_inference_steps=7,
            guidance_scale=3,
            width=512,
            height=640,
            carry=["hair"],
            identity_scale=0.5,
            landmark_window=[0, 0.5],
        ),
    )
    assert plain == Job(1, "1", (Person((folder / "a.jpg",)),), ("a face",))
    assert (full.line, full.name, full.prompts, full.seeds, full.negative_prompt) == (
        *(3, "me", ("one", "two")),
        *((5, 6), "blurry"),
    )
    assert full.poses == (None, Pose(yaw=20, expression={"smile": 0.8}), folder / "b.jpg")
    shared = full.shared
    assert (shared.num_inference_steps, shared.guidance_scale, shared.width, shared.height) == (7, 3.0, 512, 640)
    assert shared.carry == ("hair",)
    assert (shared.controls.identity_scale, shared.controls.landmark_window) == (0.5, (0.0, 0.5))
    assert Shared().carry == CARRIED


def test_people_are_photos_sets_of_photos_or_files(folder: Path) -> None:
    a, b, me = (folder / name for name in ("a.jpg", "b.jpg", "me.identity.safetensors"))
    one, several, two, known = read(
        folder,
        line(),
        line(reference=["a.jpg", "b.jpg"]),
        line(reference=[["a.jpg"], ["a.jpg", "b.jpg"]]),
        {"identity": ["me.identity.safetensors"] * 2, "prompt": "a face"},
    )
    assert one.people == (Person((a,)),)
    assert several.people == (Person((a, b)),)
    assert two.people == (Person((a,)), Person((a, b)))
    assert known.people == (Person((me,), known=True),) * 2


def test_defaults_are_for_lines_that_do_not_say(folder: Path) -> None:
    first, second = read(
        folder, line(), line(num_inference_steps=3, seed=[8, 9], width=None), num_inference_steps=9, seed=4, count=2,
        width=128, identity_scale=0.3,
    )  # fmt: skip
    assert (first.shared.num_inference_steps, first.seeds) == (9, (4, 5))
    assert (second.shared.num_inference_steps, second.seeds) == (3, (8, 9))  # a list is all there are
    assert first.shared.width == second.shared.width == 128  # null is not saying
    assert first.shared.controls.identity_scale == 0.3
    with pytest.raises(UsageError, match="prompt can't be said for all jobs"):
        read(folder, line(), prompt="x")


def test_blendshapes_are_a_pose(folder: Path) -> None:
    (folder / "take.json").write_text('{"jawOpen": 0.5}')
    assert read(folder, line(pose={"from": "take.json"}))[0].poses == (Pose(expression={"jawOpen": 0.5}),)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("{nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"seed": 1, "seed": 2}', 'the key "seed" is there twice'),
        ({**line(), "promt": "x"}, 'unknown key "promt": did you mean prompt?'),
        ({**line(), "steps": 3}, 'unknown key "steps": did you mean num_inference_steps?'),
        ({**line(), "zzz": 3}, f'unknown key "zzz": use {", ".join(FIELDS)}'),
        ({"reference": "a.jpg"}, "no prompt"),
        ({"prompt": "x"}, "give either reference (photos) or identity"),
        (line(identity="me.identity.safetensors"), "give either reference (photos) or identity"),
        (line(reference="gone.jpg"), "reference gone.jpg does not exist"),
        (line(reference="photos"), "reference photos is a folder"),
        (line(reference=[]), "at least one file"),
        (line(reference=3), "reference 3 is not a path"),
        ({"identity": "gone", "prompt": "x"}, "identity gone does not exist"),
        (line(pose={"from": "gone.jpg"}), "pose gone.jpg does not exist"),
        (line(pose={"from": "b.jpg", "yaw": 3}), '"from" sets pose and expression'),
        (line(pose={"yaw": 90}), "yaw=90 is out of range"),
        (line(pose={"yaww": 9}), 'pose: unknown key "yaww"'),
        (line(pose={"yaw": "far"}), "yaw='far' must be a number from -60 to 60 degrees"),
        (line(pose={"expression": {"smile": "much"}}), "expression smile='much' must be a number from 0 to 1"),
        (line(pose={"expression": 5}), "expression=5 must give names their amounts"),
        (line(pose={"camera": 5}), "not a pose"),
        (line(prompt="a \ud800 hat"), "a text holds half a character"),
        (line(name="Results.jsonl"), "a file of the batch is called so"),
        (line(pose="left"), 'pose "left"'),
        (line(pose=[]), "pose: an empty list"),
        (line(pose={"expression": {"grin": 1}}), "unknown expression 'grin'"),
        (line(prompt=" "), "prompt must be text"),
        (line(prompt=["x", 3]), "prompt must be text"),
        (line(negative_prompt=3), "3 is not text"),
        (line(seed=-1), "seed=-1 must be a whole number from 0"),
        (line(seed=[1, 2**63]), "must be a whole number from 0"),
        (line(seed=1.5), "seed=1.5"),
        (line(seed=[1, 2], count=2), "count goes with one seed"),
        (line(count=0), "count=0"),
        (line(num_inference_steps=0), "num_inference_steps=0"),
        (line(guidance_scale=-1), "guidance_scale=-1"),
        (line(guidance_scale="much"), "guidance_scale='much'"),
        (line(width=63), "width and height=63"),
        (line(carry=["hat"]), 'carry=["hat"]'),
        (line(carry="hair"), 'carry="hair"'),
        (line(identity_scale="x"), "identity_scale='x' must be a finite number"),
        (line(identity_window=[1, 0]), "identity_window=(1, 0)"),
        (line(long_prompts=1), "long_prompts=1"),
        (line(speed="quick"), 'speed="quick"'),
        (line(name="../x"), 'name "../x"'),
        (line(name=".lock"), 'name ".lock"'),
    ],
)
def test_a_fault_is_named_with_file_and_line(folder: Path, said: Any, fault: str) -> None:
    with pytest.raises(JobsError) as caught:
        read(folder, line(), "", said)
    (only,) = caught.value.faults
    assert only.startswith(f"{folder / 'jobs.jsonl'}:3: ")
    assert fault in only


def test_all_faults_are_found_at_once(folder: Path) -> None:
    with pytest.raises(JobsError) as caught:
        read(folder, line(seed=-1, width=1, reference="gone.jpg"), line(), line(name="ME"), line(name="me"), "{")
    assert [fault.split(":")[1] for fault in caught.value.faults] == ["1", "1", "1", "4", "5"]
    assert 'the name "me" is that of line 3 already' in caught.value.faults[3]


def test_a_number_can_be_a_name_once(folder: Path) -> None:
    assert [job.name for job in read(folder, line(name="7"), line())] == ["7", "2"]
    with pytest.raises(JobsError, match='the name "2" is that of line 1 already'):
        read(folder, line(name="2"), line())


def test_a_file_that_is_none(folder: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_jobs(folder / "gone.jsonl")
    (folder / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}')
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_jobs(folder / "latin.jsonl")
    with pytest.raises(UsageError, match="has no jobs"):
        read(folder, "", " ")


def test_a_byte_order_mark_and_unusual_ends_of_lines_are_no_faults(tmp_path: Path) -> None:
    photo = tmp_path / "me.jpg"
    photo.write_bytes(b"x")
    path = tmp_path / "jobs.jsonl"
    line = '{"reference": "me.jpg", "prompt": "a\u2028person"}'
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n{line}\n".encode())
    jobs = read_jobs(path)
    assert len(jobs) == 2
