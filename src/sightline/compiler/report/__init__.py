"""What a compilation found out: its findings, the report that an Artifact carries, and the page that people read."""
