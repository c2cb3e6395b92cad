"""Hyper-parameter search: Optuna studies that survive a kill, with hopeless trials cut short."""
