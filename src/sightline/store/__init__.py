"""What changes, in SQL: the journal of edits, and Datasets, which are a frozen version and the edits made on it since."""
