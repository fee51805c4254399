# Databricks notebook source
# MAGIC %md
# MAGIC # 06 · Promotion
# MAGIC
# MAGIC Gives the verdict on the candidate: promote, hold or reject. Only promote moves an alias.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.promotion(run)

# COMMAND ----------

display(run.tables.read_if_any("verdicts").orderBy("as_of"))

# COMMAND ----------

dbutils.jobs.taskValues.set("verdict", result.summary)
dbutils.notebook.exit(result.to_json())
