# Databricks notebook source
from shop import load

load(dbutils.widgets.get)
