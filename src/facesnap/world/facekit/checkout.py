"""A checkout of ICT-FaceKit: got with git at one commit, whose name vouches for every byte, or found on disk."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from facesnap.core.errors import InputError, one_line
from facesnap.world.facekit.convert import FOLDER, find_meshes

#: The authors' repository (ICT-VGL/ICT-FaceKit until the lab's account was renamed) and the commit we convert.
REPOSITORY: Final = "https://github.com/USC-ICT/ICT-FaceKit"
COMMIT: Final = "da5f95a607f5e6b37755b38d3385d7f2853732e5"
#: What is needed of it: about 400 MB of text, 130 MB to download.
PATHS: Final = (FOLDER, "LICENSE")
#: Bytes as committed; no endless wait on a line that stopped delivering; one pack, whose arrival git reports.
SETTINGS: Final = (
    *("-c", "core.autocrlf=false", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),
    *("-c", "fetch.unpackLimit=1"),
)


def download(folder: Path, repository: str, commit: str, step: Callable[[], None] = lambda: None) -> None:
    """Check out :data:`PATHS` of one commit, without its history, into an empty folder.

    ``step`` is called once per hundredth of the download.

    Raises:
        InputError: git or the network is absent, or the repository hasn't that commit.
    """
    offline = "convert a checkout that you have (--from FOLDER)"
    try:
        _git(folder, "init", "--quiet")
        _git(folder, "fetch", "--progress", "--depth=1", "--no-tags", repository, commit, step=step)
        _git(folder, "checkout", "--quiet", commit, "--", *PATHS)
    except OSError as error:
        raise InputError(f"git gets ICT-FaceKit, and can't be run: install it, or {offline}") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr
        if re.search(r"not our ref|no such remote ref|couldn't find remote ref|unadvertised object", reason):
            raise InputError(f"{repository} hasn't the commit {commit}: {reason}") from error
        raise InputError(f"can't get ICT-FaceKit from {repository}: {reason}; try again, or {offline}") from error


def commit_of(checkout: Path) -> str | None:
    """The commit of a git checkout whose files are as committed; None where that can't be told."""
    folder = find_meshes(checkout).parent
    try:
        # A prefix: the repository isn't the files' own but lies around an unpacked archive.
        inside = _ask_git(folder, "rev-parse", "--show-prefix")
        if not inside and not _ask_git(folder, "status", "--porcelain", "--", *PATHS):
            return _ask_git(folder, "rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        pass
    return None


def _environment() -> dict[str, str]:
    """What git is run with: English, never asking for a password, not pointed at a repository by its caller."""
    own = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def _ask_git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    return done.stdout.strip()


def _git(folder: Path, *arguments: str, step: Callable[[], None] = lambda: None) -> None:
    """Run git in a folder; ``step`` is called per hundredth of what it receives.

    Raises:
        OSError: there is no git that can be run.
        CalledProcessError: it failed; ``stderr`` is the one line that says why.
    """
    process = subprocess.Popen(
        ["git", *SETTINGS, *arguments],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    said, done = [], 0
    with process:
        try:
            for line in process.stderr or ():
                received = re.match(r"Receiving objects: +(\d+)%", line)
                for _ in range(done, int(received[1]) if received else done):
                    step()
                done = max(done, int(received[1])) if received else done
                said += [] if received else [line.strip()]
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        fatal = [line for line in said if line.startswith(("fatal:", "error:"))] or said or ["no reason given"]
        reason = one_line(ValueError(fatal[0].partition(": ")[2] or fatal[0]))
        raise subprocess.CalledProcessError(process.returncode, "git", stderr=reason)
