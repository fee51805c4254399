# Databricks notebook source
# MAGIC %md
# MAGIC # 03 · Training
# MAGIC
# MAGIC Fits Vowpal Wabbit policies on the earliest days and selects one by a lower bound on later
# MAGIC days. The latest days are reserved for the gate.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.model_training(run)

# COMMAND ----------

display(run.tables.read_if_any("lineages"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
