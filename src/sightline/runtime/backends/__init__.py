"""One file per engine; `table` maps their names to import strings."""
