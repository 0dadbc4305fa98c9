"""The metadata services of clouds, as a machine in one of them meets them at 169.254.169.254.

    http      requests and answers as values; trees of texts and how they are listed    (pure)
    aws, azure, gcp, openstack, web   one service each: a request in, an answer out      (pure)
    services  which there are, and how much user data each takes                        (pure)
    serve     a connection on standard input, answered; the rim

Why answers without memory: QEMU starts `serve` for each connection a machine makes, so there is no server to start, to
find again or to end, and the configuration that counts is the file as it is at that moment. A token therefore carries
its own end, signed. Invariant: what a service asks of its clients (methods, headers, versions) is asked here too, since
a machine that works only with a kinder one would be found out in the cloud.
"""
