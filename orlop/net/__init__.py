"""Speaking to servers that may be silent, slow or lie: every wait and every size is bounded.

`exchange` is the one HTTP client, on top of `route` (proxies, logins, redirects) and `dial` (connecting); `errors` is
what comes of it. `local` is the other side: a server on a Unix socket for those who are on this machine.
"""
