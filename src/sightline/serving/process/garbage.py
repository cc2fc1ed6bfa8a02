"""Python's collector of cycles looks at what requests made, not at what the server is made of.

A full collection walks 100,000 objects that live as long as the process, of engines and libraries for the most part, while no
other thread runs Python. Under load that happened every two to five seconds and took 15 to 55 ms.
"""

import gc

YOUNG_OBJECTS = 2_000  # made and not yet freed before the youngest are looked at, in 1.5 ms or so; Python's own number is 700


def spare_lasting_objects() -> None:
    """Leave all objects that exist now out of every collection, and collect less often; for a process that begins to serve."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
