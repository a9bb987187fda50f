"""The hook, in the words of training frameworks: one module for each, loaded only when asked for.

``from monitor.adapters.lightning import HealthCallback``,
``from monitor.adapters.transformers import HealthCallback`` or
``from monitor.adapters.ignite import HealthHandler``.
"""
