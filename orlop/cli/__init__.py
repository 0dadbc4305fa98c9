"""The operator's command: one module a sub-command, `app` the root that loads them."""
