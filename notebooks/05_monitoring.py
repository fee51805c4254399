# Databricks notebook source
# MAGIC %md
# MAGIC # 05 · Monitoring
# MAGIC
# MAGIC What each policy would have earned on the matured log, the day sums of the paired difference,
# MAGIC and whether customers have changed.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.monitoring(run)

# COMMAND ----------

display(run.tables.read("policy_values").where(f"as_of = '{run.parameters.as_of}'"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
