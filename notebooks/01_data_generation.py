# Databricks notebook source
# MAGIC %md
# MAGIC # 01 · Data
# MAGIC
# MAGIC Loads customers, events, decisions and outcomes as of the day. In the demo, simulated
# MAGIC customers answer the decisions of the day before.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.data_generation(run)

# COMMAND ----------

display(run.tables.read("decisions").groupBy("decision_date").count().orderBy("decision_date"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
