"""What a boot costs, in a figure that nothing else on this computer can disturb: guest instructions.

A counted machine (`Plan.is_counted`) is QEMU with -icount: one emulated processor, and a clock that each instruction
moves on by 4 ns, whatever the time is outside. So every moment that the machine itself notes, in its journal or of its
units, is a count of the work done until then; nothing on it is told that it is measured, nothing is put in its way.

When the processor has nothing to do, the machine's clock follows this computer's, or else what waits for a disk would
run into its time limit. That is not work: QEMU counts instructions apart from the clock, both are read from outside ten
times a second, and what the clock has without instructions is taken off.

machines.counter reads, `borders` finds where one phase of a boot ends and the next begins, `boot` boots a machine twice
and puts both together in a `cost`.
"""
