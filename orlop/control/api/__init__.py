"""The routes of the control API. `routes` is the table: path, method, right, and who answers; the reference page and
/openapi.json are made from it.
"""
