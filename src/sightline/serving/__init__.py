"""Deployments: Artifacts that answer under a name, in this process or over HTTP; knows no torch and no database."""
