"""The stages of a day and an analyst's study, as functions that the notebooks call."""

from engine.jobs.housekeeping import housekeeping
from engine.jobs.run import Result, Run
from engine.jobs.stages import (
    batch_inference,
    data_generation,
    feature_engineering,
    model_training,
    monitoring,
    promotion,
)
from engine.jobs.study import Study, study

__all__ = [
    "Result",
    "Run",
    "Study",
    "batch_inference",
    "data_generation",
    "feature_engineering",
    "housekeeping",
    "model_training",
    "monitoring",
    "promotion",
    "study",
]
