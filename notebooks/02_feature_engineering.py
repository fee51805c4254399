# Databricks notebook source
# MAGIC %md
# MAGIC # 02 · Features
# MAGIC
# MAGIC Computes each customer's features as of 00:00 UTC of the day, from facts of strictly earlier
# MAGIC dates. Then computes the rewards whose window has closed.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.feature_engineering(run)

# COMMAND ----------

display(run.tables.read("rewarded_decisions").groupBy("action_id").avg("reward"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
