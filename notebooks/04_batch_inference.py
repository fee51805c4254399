# Databricks notebook source
# MAGIC %md
# MAGIC # 04 · Inference
# MAGIC
# MAGIC Decides one action for every customer: rules, distribution with floor, groups, one seeded
# MAGIC draw.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.batch_inference(run)

# COMMAND ----------

display(run.tables.read("decisions").where(f"decision_date = '{run.parameters.as_of}'"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
