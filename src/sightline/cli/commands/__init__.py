"""One file per command; `sightline.cli.main` registers them."""
