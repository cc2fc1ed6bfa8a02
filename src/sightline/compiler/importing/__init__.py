"""`import_network`: a network of any framework becomes a Model; `importers` read the frameworks' files."""
