# Databricks notebook source
# MAGIC %md
# MAGIC # Off-policy evaluation
# MAGIC
# MAGIC What would the candidate have earned, had it decided? The log answers for policies that never
# MAGIC ran, since each decision was logged with the probability it was drawn with. No policy has learned
# MAGIC from these rows. Where the source is the simulator, the truth stands beside the estimates.

# COMMAND ----------

from engine import jobs
from policies import assess, pictures

study = jobs.study(run := jobs.Run.from_widgets(spark, dbutils.widgets.get))
log, first = study.log, next(iter(study.policies))
print(f"{len(log):,} matured decisions, {log.choice.sum():,} of them with a choice")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Can this log answer at all?
# MAGIC
# MAGIC `collect` says how many more rows and days are needed; `broken` that no number below counts.

# COMMAND ----------

evidence = assess(
    log,
    study.policies[first],
    incumbent=study.policies["champion"],
    minimum_effect=run.config.engine.gate.minimum_effect,
    expected_reward=study.expected_reward,
)
print(evidence)
display(evidence.actions.reset_index())
display(pictures.overlap(log, study.policies[first], first))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What each policy would have earned
# MAGIC
# MAGIC IPS and DR are unbiased; SNIPS and `auto` trade a little bias for less noise; DM is as good as
# MAGIC the reward model, and its bar shows sampling error only. See docs/estimators.md.

# COMMAND ----------

values = study.values()
display(values[["policy", "estimator", "value", "low", "high", "effective_n", "truth"]])
display(pictures.estimates(values))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Against the champion
# MAGIC
# MAGIC One paired difference, in an interval that stays valid however often one looks.

# COMMAND ----------

pairs = study.against("champion")
display(pictures.differences(pairs))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Over time
# MAGIC
# MAGIC The bands hold for all days together: a day that stands out of its band does so for a reason.

# COMMAND ----------

days = {name: study.by_day(name) for name in dict.fromkeys([first, "champion"])}
display(pictures.over_time(days, {name: study.true_by_day(name) for name in days}))

# COMMAND ----------

dbutils.notebook.exit(f"the log says {evidence.verdict} about {first}")
