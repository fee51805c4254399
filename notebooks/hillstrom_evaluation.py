# Databricks notebook source
# MAGIC %md
# MAGIC # A real log: Hillstrom's e-mail test
# MAGIC
# MAGIC Each of 64,000 customers was drawn at random to get men's merchandise, women's merchandise
# MAGIC or no e-mail. Rewards: a visit within two weeks, and spend. `source_path`: the file (csv or
# MAGIC csv.gz).

# COMMAND ----------

import numpy as np
import pandas as pd

import policies
from policies import pictures

frame = pd.read_csv(dbutils.widgets.get("source_path"))
features = ["recency", "history", "mens", "womens", "zip_code", "newbie", "channel"]
third = np.full((len(frame), 3), 1 / 3)
columns = {"action": "segment", "action_probability": third[:, 0], "distribution": third}
log = policies.LoggedDecisions.from_frame(
    frame, reward="visit", features=features, reward_range=(0, 1), **columns
)
mens, womens, nothing = (
    policies.FixedAction(log.action_ids, f"{arm} E-Mail") for arm in ("Mens", "Womens", "No")
)
print(policies.assess(log, mens, minimum_effect=0.005))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Visits: `personal` takes the arm with the highest cross-fitted logistic prediction

# COMMAND ----------

expected = policies.cross_fit(log, model="logistic")
personal = np.eye(3)[expected.argmax(axis=1)]
targets = {"Mens": mens, "Womens": womens, "No e-mail": nothing, "personal": personal}
settings = {"expected_reward": expected, "estimators": ["ips", "snips", "dm", "dr", "auto"]}
parts = {name: policies.evaluate(log, policy, **settings) for name, policy in targets.items()}
values = pd.concat(parts, names=["policy"]).reset_index()
display(values[["policy", "estimator", "value", "low", "high"]])
display(pictures.estimates(values))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Differences, with intervals valid at every look

# COMMAND ----------

pairs = {
    "Mens − all three at random": (mens, policies.UniformPolicy(log.action_ids)),
    "personal − Mens": (personal, mens),
    "Womens − Mens": (womens, mens),
}
comparisons = {
    name: policies.compare(log, *pair, expected_reward=expected) for name, pair in pairs.items()
}
display(pictures.differences(comparisons))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Spend: 578 buyers are too few to decide between policies

# COMMAND ----------

spend = policies.LoggedDecisions.from_frame(
    frame, reward="spend", features=features, reward_range=(0, 500), **columns
)
money = policies.cross_fit(spend)
greedy = np.eye(3)[money.argmax(axis=1)]
arguments = {"incumbent": mens, "expected_reward": money}
print(policies.assess(spend, greedy, minimum_effect=0.1, **arguments))
spend_pair = policies.compare(spend, greedy, **arguments)
verdicts = ", ".join(f"{name}: {pair.verdict}" for name, pair in comparisons.items())
dbutils.notebook.exit(f"{verdicts}; spend, personal − Mens: {spend_pair.verdict}")
