"""What an image is made of, found out from what is in it.

    debian      dpkg's own database: packages, their sources, whose each file is
    python      the packages from PyPI
    licences    a file of copyrights becomes an SPDX expression
    collect     each file of the finished tree with its component
    texts       the licences' texts, kept in the image
    tracker     the security tracker's data: which CVEs an image mends that an older one had

Invariant: no program and no module is in an image without a component.
"""
