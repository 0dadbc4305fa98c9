"""Butane to Ignition: a machine's configuration as people write it, to the one its first boot reads.

    translate     the whole way; start here
    schema        the words of the table; spec_base, spec_variants: the table itself; variants: who has what
    yamltree      YAML text to nodes; scalars: what a scalar means; decode: nodes to values; tree: values
    sugar/        what Ignition has not, taken out; rules/: what must be true
    source        places in the text; report: what was found wrong, shown with its lines
    local         the files directory as an interface; filesdir: the real one, the only I/O
    reference     the table as documentation

The settings of the operating system are in a table that the machine's programs share (orlop.model.settings).

Lifetime: one call of `translate` a config; nothing is kept between calls. Invariant: what is accepted here is accepted
by Ignition 2.14, and every message points at a line of the user's text.
"""
