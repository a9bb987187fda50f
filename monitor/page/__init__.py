"""The status page: what people see of the runs, in a browser.

Documents are pure functions of views (:mod:`overview`, :mod:`detail`); what has changed is told
by :mod:`changes`; curves come from a process of their own. The rest is static files.
"""

from __future__ import annotations
