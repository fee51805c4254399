# Databricks notebook source
# MAGIC %md
# MAGIC # Off-policy evaluation
# MAGIC
# MAGIC What would the candidate have earned? The log can tell for policies that never ran, because
# MAGIC each decision was logged with the probability it was drawn with. No policy was fitted to
# MAGIC these rows. With the simulated source, the true values stand beside the estimates.

# COMMAND ----------

from engine import jobs
from policies import assess, pictures

study = jobs.study(run := jobs.Run.from_widgets(spark, dbutils.widgets.get))
log, first = study.log, next(iter(study.policies))
print(f"{len(log):,} matured decisions, {log.choice.sum():,} of them with a choice")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Can this log answer?
# MAGIC
# MAGIC `collect` says how many more rows and days are needed. With `broken`, no number below is
# MAGIC valid.

# COMMAND ----------

assessment = assess(
    log,
    study.policies[first],
    incumbent=study.policies["champion"],
    minimum_effect=run.config.engine.gate.minimum_effect,
    expected_reward=study.expected_reward,
)
print(assessment)
display(assessment.actions.reset_index())
display(pictures.overlap(log, study.policies[first], first))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What each policy would have earned
# MAGIC
# MAGIC IPS and DR are unbiased. SNIPS and `auto` accept a little bias for less variance. DM is as
# MAGIC good as its reward model; its interval shows sampling error only. See docs/estimators.md.

# COMMAND ----------

values = study.values()
display(values[["policy", "estimator", "value", "low", "high", "effective_n", "truth"]])
display(pictures.estimates(values))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Against the champion
# MAGIC
# MAGIC The paired difference, with an interval valid at every look.

# COMMAND ----------

pairs = study.against("champion")
display(pictures.differences(pairs))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Over time
# MAGIC
# MAGIC The intervals hold for all days together.

# COMMAND ----------

days = {name: study.by_day(name) for name in dict.fromkeys([first, "champion"])}
display(pictures.over_time(days, {name: study.true_by_day(name) for name in days}))

# COMMAND ----------

dbutils.notebook.exit(f"the log says {assessment.verdict} about {first}")
