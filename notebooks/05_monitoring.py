# Databricks notebook source
# MAGIC %md
# MAGIC # 05 · Monitoring
# MAGIC
# MAGIC Estimates what each policy would have earned on the matured log, freezes the day sums of the
# MAGIC paired difference, and tests whether the features have drifted.

# COMMAND ----------

from engine import jobs

run = jobs.Run.from_widgets(spark, dbutils.widgets.get)
result = jobs.monitoring(run)

# COMMAND ----------

display(run.tables.read("policy_values").where(f"as_of = '{run.parameters.as_of}'"))

# COMMAND ----------

dbutils.notebook.exit(result.to_json())
