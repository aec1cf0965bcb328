"""Named, versioned metric protocols, one file each.

A protocol never changes: a correction is a new version, and so a new file.

    evidence   what a metric may look at: the edit, its source, prompts, and what judges see
    protocol   what a protocol is: named metrics
    registry   which there are: the modules of this package whose names end in a version, ``_v1``

Numbers of two protocols are never mixed: they differ in model, preprocessing, pairs and scale.
Adding one is one file, of that name, with a ``PROTOCOL``; its docstring says all that a number
depends on. Heavy imports stay inside functions: the driver asks for names alone.
"""
