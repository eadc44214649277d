"""Thousands of films: jobs from a file, made by processes that keep what they load, read and encode."""

from mcnet_cli.batch.batch import BatchRequest, batch, plan
from mcnet_cli.batch.report import BatchPlan, BatchReport, JobResult

__all__ = ["BatchPlan", "BatchReport", "BatchRequest", "JobResult", "batch", "plan"]
