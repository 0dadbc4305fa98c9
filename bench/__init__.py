"""What is measured, and beside whom: `python -m bench`.

Orlop and a *peer image* (bench/boot/peer: stock Debian 13 with the same kernel package and containerd) are measured in
one run, by the same code, taking turns, so that a ratio holds on any computer even where the seconds do not. Nothing
here holds a result: what cannot be measured is shown as missing. docs/bench.md says what each figure means.
"""
