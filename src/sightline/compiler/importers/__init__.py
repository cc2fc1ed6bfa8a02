"""One file per foreign framework; `table` maps their names to import strings."""
