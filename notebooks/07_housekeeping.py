# Databricks notebook source
# MAGIC %md
# MAGIC # 07 · Housekeeping
# MAGIC
# MAGIC Deletes what no later day needs, by `retention` in `conf/engine.yml`, and compacts the tables.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.housekeeping(run)

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
