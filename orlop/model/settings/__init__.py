"""The settings of the operating system: one table for who writes them, who checks them and who reads them.

    document   all of them, and their files; start here
    update health   the larger groups
    table      what an entry is; typed values
    kinds      what a value may be; zones: the time zones of the image
    read       reading a file of them, strictly

Pure. Who uses it: the translator (orlop.provision) for its types, its rules and the files it writes; the reference; the
node's programs, which read those files. Invariant: what `orlop config check` accepts the node accepts, and the other
way round: the same kinds are asked, and tests/unit/model/settings proves it of both borders as they are.
"""
