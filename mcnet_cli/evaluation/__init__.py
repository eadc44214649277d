"""How good weights are: made clips against real ones, figures by clip, a report and a sheet to look at."""

from mcnet_cli.evaluation.report import EvaluationReport
from mcnet_cli.evaluation.request import METRICS, PROTOCOLS, EvaluationRequest
from mcnet_cli.evaluation.run import evaluate

__all__ = ["METRICS", "PROTOCOLS", "EvaluationReport", "EvaluationRequest", "evaluate"]
