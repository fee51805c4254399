"""A telephone company that somebody made up: its files, its mapping, and its true effects."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ZONE = "Europe/Madrid"
ACTIONS = {"nada": "none", "sms_bono": "sms", "wa_oferta": "whatsapp", "carta": "post"}
COST = {"nada": 0.0, "sms_bono": 0.05, "wa_oferta": 0.1, "carta": 0.6}
SOURCE = """\
name: telco
kind: tables
tables:
  customers:
    from: abonados/*.parquet
    columns:
      {customer_id: msisdn, alta: alta, tarifa: tarifa, consent_sms: ok_sms, consent_whatsapp: ok_wa, consent_post: true}
    changed: modificado
    time_zone: Europe/Madrid
  events:
    from: uso/*.parquet
    columns: {event_id: id, customer_id: msisdn, event_ts: momento, event_type: tipo, amount: importe}
    received: cargado
    time_zone: Europe/Madrid
  outcomes:
    from: recargas/*.parquet
    columns: {outcome_id: id, customer_id: msisdn, outcome_type: tipo, outcome_ts: momento, amount: importe}
    received: cargado
    time_zone: Europe/Madrid
  decisions:
    from: campanas.parquet
    columns:
      {decision_id: id, customer_id: msisdn, decision_ts: momento, action_id: accion, action_probability: p}
    time_zone: Europe/Madrid
features: telco_features.yml
actions: telco_actions.yml
engine:
  reward: {outcomes: {recarga: amount}, window_days: 2, lag_days: 1, range: [-0.6, 60.0]}
  groups: {uniform: 0.2, holdout: 0.05, previous: 0.05}
  business_rules:
    - {when: "tarifa = 'prepago' AND dias_recarga > 7", action: sms_bono}
    - {when: "TRUE", action: nada}
  training: {reserve_days: 10}
  gate: {margin: 0.3, minimum_effect: 0.5}
"""
FEATURES = """\
time_zone: Europe/Madrid
features:
  tarifa: {attribute: tarifa, type: string}
  antiguedad: {days_since: alta}
  llamadas_7d: {count: llamada, days: 7}
  minutos_28d: {sum: minutos, of: llamada, days: 28}
  recargas_28d: {count: recarga, days: 28}
  importe_medio: {mean: amount, of: recarga, days: 28}
  dias_recarga: {days_since: recarga, days: 28}
  contactos_7d: {count: contact, days: 7}
  minutos_por_llamada: {sql: 'minutos_28d / nullif(llamadas_7d, 0)', default: 0.0}
"""
CATALOGUE = """\
currency: EUR
no_contact: nada
actions:
  - {id: nada, name: Nada, group: none}
  - {id: sms_bono, name: Bono por SMS, group: bono, channel: sms, cost: 0.05}
  - {id: wa_oferta, name: Oferta por WhatsApp, group: oferta, channel: whatsapp, cost: 0.1}
  - {id: carta, name: Carta, group: oferta, channel: post, cost: 0.6, applicable_when: antiguedad > 30}
"""


class Telco:
    """Customers on two tariffs, who top up more often after the message that suits theirs.

    Args:
        folder: where the files go.
        customers: how many there are.
        start: the first day of the history.
        seed: of everything.
    """

    def __init__(self, folder: Path, customers: int, start: dt.date, seed: int = 0) -> None:
        self.folder, self.start = folder, start
        self.rng = np.random.default_rng(seed)
        n = customers
        self.people = pd.DataFrame(
            {
                "msisdn": 34_600_000_000 + np.arange(n) * 7,
                "alta": [start - dt.timedelta(days=int(d)) for d in self.rng.integers(5, 900, n)],
                "tarifa": np.where(self.rng.random(n) < 0.5, "prepago", "contrato"),
                "ok_sms": (self.rng.random(n) < 0.85).astype(int),
                "ok_wa": np.where(self.rng.random(n) < 0.8, "sí", "no") == "sí",
                "modificado": pd.Timestamp(start) - pd.Timedelta(days=3),
            }
        )
        for name in ("abonados", "uso", "recargas"):
            (folder / name).mkdir(parents=True)
        self.people.to_parquet(folder / "abonados" / "todos.parquet", index=False)

    def write_conf(self, conf: Path) -> None:
        """The company as YAML."""
        sources = conf / "sources"
        (sources / "telco.yml").write_text(SOURCE)
        (sources / "telco_features.yml").write_text(FEATURES)
        (sources / "telco_actions.yml").write_text(CATALOGUE)

    def chance(self, action: pd.Series[Any], tariff: pd.Series[Any]) -> Any:
        """The true probability of a top-up in the two days after a decision."""
        suits = ((action == "sms_bono") & (tariff == "prepago")) | (
            (action == "wa_oferta") & (tariff == "contrato")
        )
        return 0.10 + 0.15 * suits - 0.03 * ((action != "nada") & ~suits)

    def history(self, days: int) -> None:
        """Files of so many days in which the old system drew at random among what consents allow."""
        drawn = []
        for number in range(days):
            day = self.start + dt.timedelta(days=number)
            allowed = np.column_stack(
                [
                    np.ones(len(self.people), bool),
                    self.people["ok_sms"] == 1,
                    self.people["ok_wa"],
                    np.ones(len(self.people), bool),
                ]
            )
            weight = allowed * np.array([0.4, 0.25, 0.25, 0.1])
            weight /= weight.sum(axis=1, keepdims=True)
            index = (weight.cumsum(axis=1) < self.rng.random((len(weight), 1))).sum(axis=1)
            rows = pd.DataFrame(
                {
                    "id": [f"C{number}-{msisdn}" for msisdn in self.people["msisdn"]],
                    "msisdn": self.people["msisdn"],
                    "momento": pd.Timestamp(day) + pd.Timedelta(hours=10),
                    "accion": np.array(list(ACTIONS), dtype=object)[index],
                    "p": weight[np.arange(len(weight)), index],
                }
            )
            drawn.append(rows)
            self.answer(rows[["msisdn", "accion"]], day)
        pd.concat(drawn).to_parquet(self.folder / "campanas.parquet", index=False)

    def answer(self, decided: pd.DataFrame, day: dt.date) -> None:
        """One file of usage and one of top-ups of a day: what customers did after decisions."""
        rows = self.people[["msisdn", "tarifa"]].merge(decided, on="msisdn", how="left")
        rows["accion"] = rows["accion"].fillna("nada")
        tops = rows[self.rng.random(len(rows)) < self.chance(rows["accion"], rows["tarifa"])]
        moment = pd.Timestamp(day) + pd.Timedelta(hours=11)
        top = pd.DataFrame(
            {
                "id": [f"R{day:%m%d}-{msisdn}" for msisdn in tops["msisdn"]],
                "msisdn": tops["msisdn"],
                "tipo": "recarga",
                "momento": moment
                + pd.to_timedelta(self.rng.integers(0, 24 * 60, len(tops)), "min"),
                "importe": self.rng.choice([5.0, 10.0, 20.0], len(tops)),
            }
        )
        top["cargado"] = top["momento"] + pd.Timedelta(minutes=30)
        top.to_parquet(self.folder / "recargas" / f"{day}.parquet", index=False)
        calls = self.people.sample(frac=0.3, random_state=int(self.rng.integers(2**31)))
        use = pd.DataFrame(
            {
                "id": [f"L{day:%m%d}-{msisdn}" for msisdn in calls["msisdn"]],
                "msisdn": calls["msisdn"],
                "tipo": "llamada",
                "momento": moment,
                "importe": np.nan,
                "minutos": self.rng.gamma(2.0, 3.0, len(calls)),
            }
        )
        use["cargado"] = use["momento"] + pd.Timedelta(hours=2)
        both = pd.concat([use, top.assign(minutos=np.nan)])
        both.to_parquet(self.folder / "uso" / f"{day}.parquet", index=False)
