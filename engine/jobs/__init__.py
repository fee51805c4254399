"""The stages of a day as functions; every notebook calls one of them."""

from engine.jobs.run import Result, Run
from engine.jobs.stages import (
    batch_inference,
    data_generation,
    feature_engineering,
    model_training,
    monitoring,
    promotion,
)

__all__ = [
    "Result",
    "Run",
    "batch_inference",
    "data_generation",
    "feature_engineering",
    "model_training",
    "monitoring",
    "promotion",
]
