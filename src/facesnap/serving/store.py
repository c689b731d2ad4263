"""What outlives a restart: people, jobs and pictures, in SQLite and files.

``service.db``; ``identities/ID.identity.safetensors``; ``results/JOB/0.png`` and so on. A file is there before its row
says so, and goes after its row is gone: whatever a crash leaves behind without a row is swept by :meth:`Store.recover`.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError, MissingError, OutputError, one_line
from facesnap.core.identity import Identity
from facesnap.core.images import write_atomic
from facesnap.core.pose import Pose
from facesnap.serving.config import Expiry
from facesnap.serving.database import Database
from facesnap.serving.painter import Enrolment
from facesnap.serving.recent import Recent
from facesnap.serving.requests import ID_PATTERN, GenerationRequest, IdentityInfo, JobState, JobStatus

_ID: Final = re.compile(ID_PATTERN)
_HOUR: Final = 3600.0
_UNFINISHED: Final = "('queued', 'running')"

#: The most jobs that are listed at once.
LISTED: Final = 1000

#: People in memory: some 100 kB each.
PEOPLE: Final = 64


class Store:
    """Everything that is kept, in one folder. Safe for threads; of one process at a time.

    Args:
        folder: made if it isn't there; only this user may look into it.
        expiry: how long things are kept.
        clock: seconds since 1970.

    Raises:
        OutputError: the folder can't be written. InputError: what is in it can't be used.
    """

    def __init__(self, folder: Path, expiry: Expiry | None = None, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.expiry, self._clock = folder, expiry or Expiry(), clock
        self._identities, self._results = folder / "identities", folder / "results"
        try:
            for each in (folder, self._identities, self._results):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "service.db").touch(mode=0o600)
            for path, mode in ((self._identities, 0o700), (self._results, 0o700), (folder / "service.db", 0o600)):
                path.chmod(mode)  # the folder may have been there before, readable by others
        except OSError as error:
            raise OutputError(f"can't keep results in {folder}: {one_line(error)}") from error
        self._database = Database(folder / "service.db")
        self._people: Recent[Enrolment] = Recent(PEOPLE)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # --- people ---

    def add_identity(self, person: Enrolment, name: str, consent: bool, client: str, model: str) -> IdentityInfo:
        """Keep a person. OutputError if that fails."""
        key = new_id()
        person.identity.save(self._identity_path(key))
        pose = None if person.pose is None else json.dumps(person.pose.to_json())
        judged = None if person.judged is None else np.asarray(person.judged, np.float32).tobytes()
        self._database.change(
            "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key, self._clock(), person.identity.photos, name, consent, client, model, pose, judged, person.judge),
        )
        return self.identity_info(key)

    def identity(self, key: str) -> Enrolment:
        """A person as they were kept. MissingError without one of that id."""
        return self._people.get(key, self._load_identity)

    def _load_identity(self, key: str) -> Enrolment:
        row = self._identity_row(key)
        try:
            identity = Identity.load(self._identity_path(key))
        except InputError as error:  # it was deleted between the row and the file
            raise _no_identity() from error
        pose = None if row["pose"] is None else Pose.from_json(json.loads(row["pose"]))
        judged = None if row["judged"] is None else np.frombuffer(row["judged"], np.float32)
        return Enrolment(identity, pose, judged, row["judge"])

    def identity_info(self, key: str) -> IdentityInfo:
        """What may be told of a person. MissingError without one of that id."""
        return self._info(self._identity_row(key))

    def identities(self, client: str | None = None) -> list[IdentityInfo]:
        """Those of a client, or everyone, the newest first."""
        rows = self._database.rows(
            "SELECT * FROM identities WHERE ? IS NULL OR client = ? ORDER BY created DESC, id", (client, client)
        )
        return [self._info(row) for row in rows]

    def identity_file(self, key: str) -> bytes:
        """The identity file's bytes. MissingError without one of that id."""
        self._identity_row(key)
        try:
            return self._identity_path(key).read_bytes()
        except OSError as error:
            raise _no_identity() from error

    def delete_identity(self, key: str) -> list[str]:
        """Forget a person for good, and cancel their unfinished jobs. Pictures that are done stay until they expire
        or are deleted, as their own jobs.

        Returns:
            Ids of the jobs that this cancelled.

        Raises:
            MissingError: no identity of that id.
        """
        self._identity_row(key)
        with self._database.transaction() as connection:
            jobs = f"FROM jobs WHERE identity = ? AND state IN {_UNFINISHED}"
            cancelled = [row["id"] for row in connection.execute(f"SELECT id {jobs}", (key,))]
            for job in cancelled:
                connection.execute(
                    "UPDATE jobs SET state = ?, finished = ? WHERE id = ?", (JobState.cancelled, self._clock(), job)
                )
            connection.execute("DELETE FROM identities WHERE id = ?", (key,))
        self._people.drop(key)
        self._identity_path(key).unlink(missing_ok=True)
        self._database.compact()
        return cancelled

    # --- jobs ---

    def add_job(self, request: GenerationRequest, seeds: Sequence[int], client: str) -> JobStatus:
        """Keep a queued job."""
        key = new_id()
        self._database.change(
            "INSERT INTO jobs (id, number, identity, client, state, request, seeds, created)"
            " VALUES (?, (SELECT COALESCE(MAX(number), 0) + 1 FROM jobs), ?, ?, ?, ?, ?, ?)",
            (key, request.identity, client, JobState.queued, request.model_dump_json(), json.dumps(list(seeds)),
             self._clock()),
        )  # fmt: skip
        return self.job(key)

    def job(self, key: str) -> JobStatus:
        """A job, without its place in the queue. MissingError without one of that id."""
        return self._status(self._job_row(key))

    def jobs(self, client: str | None = None) -> list[JobStatus]:
        """Those of a client, or everyone's, the newest first; at most :data:`LISTED`."""
        rows = self._database.rows(
            f"SELECT * FROM jobs WHERE ? IS NULL OR client = ? ORDER BY number DESC LIMIT {LISTED}", (client, client)
        )
        return [self._status(row) for row in rows]

    def start(self, key: str) -> bool:
        """A queued job runs now. False if it isn't queued (any more)."""
        return bool(
            self._database.change(
                "UPDATE jobs SET state = ?, started = ? WHERE id = ? AND state = ?",
                (JobState.running, self._clock(), key, JobState.queued),
            )
        )

    def progress(self, key: str, step: int, steps: int) -> None:
        """So many denoising steps of a running job are done."""
        self._database.change(
            "UPDATE jobs SET step = ?, steps = ? WHERE id = ? AND state = ?", (step, steps, key, JobState.running)
        )

    def finish(self, key: str, pngs: Sequence[bytes], reports: Sequence[dict[str, Any]]) -> bool:
        """A running job is done. False, and nothing is kept, if it doesn't run (any more).

        Raises:
            OutputError: the pictures can't be written.
        """
        if not self._database.rows("SELECT 1 FROM jobs WHERE id = ? AND state = 'running'", (key,)):
            return False
        folder = self._result_folder(key)
        try:
            for index, data in enumerate(pngs):
                write_atomic(folder / f"{index}.png", data)
            done = self._database.change(
                "UPDATE jobs SET state = ?, finished = ?, pictures = ?, reports = ?, bytes = ?, step = steps"
                " WHERE id = ? AND state = ?",
                (JobState.done, self._clock(), len(pngs), json.dumps(list(reports)), sum(map(len, pngs)), key,
                 JobState.running),
            )  # fmt: skip
        except BaseException:
            _remove(folder)
            raise
        if not done:
            _remove(folder)
        return bool(done)

    def end(self, key: str, state: JobState, error: str | None = None) -> bool:
        """An unfinished job failed, was cancelled or interrupted. False if it had ended before."""
        return bool(
            self._database.change(
                f"UPDATE jobs SET state = ?, finished = ?, error = ? WHERE id = ? AND state IN {_UNFINISHED}",
                (state, self._clock(), error, key),
            )
        )

    def picture(self, key: str, index: int) -> bytes:
        """A picture of a finished job as PNG. MissingError without such a job or picture."""
        if not 0 <= index < self._job_row(key)["pictures"]:
            raise MissingError("no such picture: the job made fewer, or isn't done")
        try:
            return (self._result_folder(key) / f"{index}.png").read_bytes()
        except OSError as error:
            raise _no_job() from error

    def delete_job(self, key: str) -> None:
        """Delete a job and its pictures for good. MissingError without one of that id."""
        self._job_row(key)
        self._database.change("DELETE FROM jobs WHERE id = ?", (key,))
        _remove(self._result_folder(key))
        self._database.compact()

    # --- all of it ---

    def recover(self) -> list[JobStatus]:
        """Put in order what the last run left: what ran is interrupted, files without a row go.

        Returns:
            The queued jobs, the oldest first.
        """
        self._database.change(
            "UPDATE jobs SET state = ?, finished = ?, error = ? WHERE state = ?",
            (JobState.interrupted, self._clock(), "the server stopped while it ran: ask again", JobState.running),
        )
        done = {row["id"] for row in self._database.rows("SELECT id FROM jobs WHERE state = 'done'")}
        known = {row["id"] for row in self._database.rows("SELECT id FROM identities")}
        for folder in self._results.iterdir():
            if folder.name not in done:
                _remove(folder)
        for file in self._identities.iterdir():
            if file.name.split(".")[0] not in known:
                file.unlink(missing_ok=True)
        return [self._status(row) for row in self._queued()]

    def expire(self, now: float | None = None) -> list[str]:
        """Delete what is too old, and the oldest results where they are too large in all. A person with unfinished
        jobs stays until these are done.

        Returns:
            Ids of the jobs that are gone.
        """
        now = self._clock() if now is None else now
        gone = [row["id"] for row in self._database.rows(
            "SELECT id FROM jobs WHERE finished < ?", (now - self.expiry.result_hours * _HOUR,)
        )]  # fmt: skip
        kept = self._database.rows("SELECT id, bytes FROM jobs WHERE bytes > 0 ORDER BY finished DESC, number DESC")
        total = 0
        for row in kept:
            total += row["bytes"]
            if total > self.expiry.result_bytes:
                gone.append(row["id"])
        gone = list(dict.fromkeys(gone))
        people = self._database.rows(
            "SELECT id FROM identities WHERE created < ? AND id NOT IN"
            f" (SELECT identity FROM jobs WHERE state IN {_UNFINISHED})",
            (now - self.expiry.identity_hours * _HOUR,),
        )
        for delete, keys in ((self.delete_job, gone), (self.delete_identity, [row["id"] for row in people])):
            for key in keys:
                try:
                    delete(key)
                except MissingError:  # someone deletes it at the same moment
                    continue
        return gone

    def counts(self) -> dict[str, Any]:
        """``jobs`` (state -> how many), ``identities``, ``result_bytes``."""
        found = {
            row["state"]: row["n"] for row in self._database.rows("SELECT state, COUNT(*) n FROM jobs GROUP BY state")
        }
        rows = self._database.rows(
            "SELECT (SELECT COUNT(*) FROM identities) people, (SELECT COALESCE(SUM(bytes), 0) FROM jobs) size"
        )
        jobs = {state.value: found.get(state.value, 0) for state in JobState}
        return {"jobs": jobs, "identities": rows[0]["people"], "result_bytes": rows[0]["size"]}

    def _queued(self) -> list[sqlite3.Row]:
        return self._database.rows("SELECT * FROM jobs WHERE state = 'queued' ORDER BY number")

    def _identity_row(self, key: str) -> sqlite3.Row:
        rows = self._database.rows("SELECT * FROM identities WHERE id = ?", (key,)) if _ID.fullmatch(key) else []
        if not rows:
            raise _no_identity()
        return rows[0]

    def _job_row(self, key: str) -> sqlite3.Row:
        rows = self._database.rows("SELECT * FROM jobs WHERE id = ?", (key,)) if _ID.fullmatch(key) else []
        if not rows:
            raise _no_job()
        return rows[0]

    def _identity_path(self, key: str) -> Path:
        return self._identities / f"{_checked(key)}.identity.safetensors"

    def _result_folder(self, key: str) -> Path:
        return self._results / _checked(key)

    def _info(self, row: sqlite3.Row) -> IdentityInfo:
        told = {name: row[name] for name in ("id", "created", "photos", "name", "consent", "model")}
        return IdentityInfo(**told, expires=row["created"] + self.expiry.identity_hours * _HOUR)

    def _status(self, row: sqlite3.Row) -> JobStatus:
        names = ("id", "state", "client", "created", "started", "finished", "step", "steps", "error", "pictures")
        return JobStatus(
            **{name: row[name] for name in names},
            request=GenerationRequest.model_validate_json(row["request"]),
            seeds=json.loads(row["seeds"]),
            reports=None if row["reports"] is None else json.loads(row["reports"]),
            expires=row["finished"] and row["finished"] + self.expiry.result_hours * _HOUR,
        )


def new_id() -> str:
    """16 characters that nobody guesses (96 bits)."""
    return secrets.token_urlsafe(12)


def _checked(key: str) -> str:
    """No id that isn't one ever becomes part of a path."""
    if not _ID.fullmatch(key):
        raise _no_identity()
    return key


def _no_identity() -> MissingError:
    return MissingError("no such identity: it may have expired or been deleted")


def _no_job() -> MissingError:
    return MissingError("no such job: it may have expired or been deleted")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
