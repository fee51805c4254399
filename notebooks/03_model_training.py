# Databricks notebook source
# MAGIC %md
# MAGIC # 03 · Training
# MAGIC
# MAGIC Vowpal Wabbit policies, fitted on the earliest days and chosen by a pessimistic bound on later
# MAGIC ones. The latest days stay unseen: they belong to the gate.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.model_training(run)

# COMMAND ----------

display([(version.number, dict(version.tags)) for version in run.registry.versions()])

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
