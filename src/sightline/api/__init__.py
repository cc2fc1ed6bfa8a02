"""HTTP control plane: `/v1`, and the files of the web app in which people label."""
