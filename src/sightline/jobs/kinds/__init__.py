"""The kinds of job: a file for each verb that runs in the background."""
