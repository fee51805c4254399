# Databricks notebook source
# MAGIC %md
# MAGIC # nba
# MAGIC
# MAGIC Answers one `nba` command where the tables are: `nba` on a laptop with a workspace runs this job
# MAGIC and prints what it says. The parameter `command` holds the command's words.

# COMMAND ----------

from engine.cli import remote

answer = remote.answered(spark, dbutils.widgets.get)

# COMMAND ----------

dbutils.notebook.exit(answer)
