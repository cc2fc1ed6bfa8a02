"""One file per quantiser; `table` maps their names to import strings."""
