"""Many portraits in one go, from a file of jobs: ``facesnap batch``."""

from facesnap.pipelines.batch.jobs import Job, JobsError, Shared, read_jobs
from facesnap.pipelines.batch.run import Outcome, planned, run_batch

__all__ = ["Job", "JobsError", "Outcome", "Shared", "planned", "read_jobs", "run_batch"]
