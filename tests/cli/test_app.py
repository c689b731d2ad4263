"""The command line as a whole: quick to answer, one line for every error, the promised exit codes."""

from __future__ import annotations

import errno
import json
import logging
import re
import resource
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from facesnap import __version__
from facesnap.cli import app, console, doctor
from facesnap.core import lazy
from facesnap.core.errors import FaceSnapError, InputError, OutputError, UsageError

HELP_LIMIT = 0.5  # seconds

COMMANDS = [
    *(["generate"], ["enroll"], ["landmarks"], ["compare"], ["inspect"], ["doctor"], ["demo"], ["evaluate"]),
    *(["world", "render"], ["world", "sheet"], ["world", "check"], ["world", "stats"], ["world", "fetch"]),
    *(["data", "prepare"], ["data", "stats"], ["data", "check"]),
    *(["world", "recognise"], ["mini", "train"], ["arena", "train"], ["serve"], ["batch"]),
]


def _run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facesnap.cli.app", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        before = _seconds_of_children()
        assert _run_module("--help").returncode == 0
        times.append(_seconds_of_children() - before)
    assert min(times) < HELP_LIMIT


def _seconds_of_children() -> float:
    """Processor time of finished child processes: unlike the clock, it doesn't depend on who else is busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_command_line_imports_nothing_heavy() -> None:
    heavy = "'torch', 'diffusers', 'transformers', 'cv2', 'moderngl', 'numpy', 'PIL', 'webdataset', 'matplotlib'"
    code = f"import sys, facesnap.cli.app; print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*command, "--help"]) == 0
    said = capsys.readouterr()
    assert "Usage: facesnap" in said.out
    assert said.err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"facesnap {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command"),
        (["generate"], "Missing option '--prompt'"),
        (["doctor", "--jsn"], "No such option: --jsn"),
        (["generate", "--prompt", "x", "--seed", "many"], "--seed"),
        (["generate", "--prompt", "x"], "--reference"),
        (["generate", "--prompt", "x", "-r", "a.jpg", "--identity", "b"], "either --reference"),
        (["generate", "--prompt", "x", "-r", "a.jpg", "--yaw", "200"], "yaw=200 is out of range"),
        (["generate", "--prompt", "x", "-r", "a.jpg", "--expression", "grin=1"], "unknown expression 'grin'"),
        (["generate", "--prompt", "x", "-r", "a.jpg", "--expression", "smile=much"], "is not a number"),
        (["generate", "--prompt", "x", "-r", "a.jpg", "--pose-from", "b.jpg", "--yaw", "9"], "--pose-from sets"),
        (["generate", "--prompt", "x", "--identity", "b", "--face", "1"], "--face chooses"),
        (["landmarks", "a.jpg", "-o", "b.png", "--smoothing", "1"], "--smoothing is for clips"),
        (["world", "sheet", "-o", "sheet.xyz"], "--output sheet.xyz: give a name that ends in .png or .jpg or .jpeg"),
        (["mini", "train", "--set", "unet.steps"], "NAME=VALUE"),
        (["arena", "train", "nowhere"], "nowhere has no finished base: facesnap mini train --output nowhere"),
        (["evaluate", "--suite", "arena"], "--suite arena, and no other, takes --run"),
        (["evaluate", "--run", "x"], "--suite arena, and no other, takes --run"),
        (["evaluate", "--suite", "landmarks", "--method", "faceid"], "--suite arena, and no other"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (UsageError("wrong"), 2, "error: wrong\n"),
        (InputError("two\nlines"), 3, "error: two lines\n"),
        (OutputError("full"), 4, "error: full\n"),
        (FaceSnapError("other"), 1, "error: other\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (MemoryError(), 1, "error: not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "error: can't write: no space left on the device"),
        (ZeroDivisionError("bug"), 1, "error: internal error: ZeroDivisionError: bug (run with --debug"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_becomes_one_line(
    problem: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise problem

    monkeypatch.setattr(doctor, "_devices", fail)
    assert app.run(["doctor"]) == code
    captured = capsys.readouterr().err
    assert captured.startswith(said)
    assert captured.count("\n") == 1


def test_a_thread_that_still_works_does_not_abort_the_exit() -> None:
    code = (
        "import logging, threading, time, torch\n"
        "from facesnap.cli import app\n"
        "def work():\n"
        "    x = torch.ones(64, 64)\n"
        "    while True: x = (x @ x).clamp(-1, 1)\n"
        "def run(_):\n"
        "    threading.Thread(target=work, name='facesnap-work', daemon=True).start()\n"
        "    time.sleep(0.2)\n"
        "    print('said', end='')\n"
        "    return 3\n"
        "app.run = run\n"
        "app.main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said", "")


def test_a_map_is_a_png_and_called_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert app.run(["landmarks", str(tmp_path / "photo.jpg"), "--output", str(tmp_path / "map.jpg")]) == 2
    assert "give a name that ends in .png" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(doctor, "_devices", fail)
    assert app.run(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_only_our_own_words_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with console.only_our_voice():
        warnings.warn("from a library", stacklevel=1)
        logging.getLogger("transformers").warning("from a library, too")
        logging.getLogger("facesnap.faces.detect").warning("%d faces:\nlargest taken", 2)
        logging.getLogger("facesnap.faces.detect").info("a detail")
    assert capsys.readouterr().err == "note: 2 faces: largest taken\n"


def test_doctor_tells_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["facesnap"] == __version__
    assert any(device.startswith("cpu") for device in found["devices"])
    assert {"unet", "face_encoder", "ffrnet"} <= {weight["name"] for weight in found["weights"]}
    assert all(weight["licence"] for weight in found["weights"])
    assert all(len(weight["sha256"]) == 12 for weight in found["weights"] if weight["present"])


def test_doctor_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESNAP_MINI", str(tmp_path))
    assert app.run(["doctor"]) == 0
    assert "missing" in capsys.readouterr().out


def test_doctor_knows_the_extras_and_what_they_bring() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    names = {
        extra: [re.split(r"[\[>=<]", need)[0] for need in needs] for extra, needs in extras.items() if extra != "dev"
    }
    brought = {
        extra: [{"pyyaml": "yaml"}.get(name, name.replace("-", "_")) for name in needs if name != "facesnap"]
        for extra, needs in names.items()
    }
    assert brought == {name: list(modules) for name, (modules, _) in doctor.EXTRAS.items()}


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (["mini", "train", "-o", "run"], "train,world"),
        (["evaluate", "-o", "out", "--work", "work"], "world"),
        (["world", "render", "-o", "out"], "world"),
        (["world", "sheet", "-o", "out.png"], "world"),
        (["world", "check", "."], "world"),
        (["world", "stats", "-o", "out"], "world"),
    ],
)
def test_a_command_names_all_extras_that_it_lacks(
    arguments: list[str],
    extras: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def import_module(name: str) -> ModuleType:
        raise ImportError(f"no module named {name}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lazy, "importlib", SimpleNamespace(import_module=import_module))
    assert app.run(arguments) == 2
    assert f'pip install "facesnap[{extras}]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["new/deep", "."])
def test_trying_a_folder_leaves_nothing(tmp_path: Path, folder: str) -> None:
    console.check_folder(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of that path is a file, not a folder"):
        console.check_folder(tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="it is a file, not a folder; choose another --to"):
        console.check_folder(tmp_path / "file", "--to")
    with pytest.raises(OutputError, match="is a folder"):
        console.check_file(tmp_path)
