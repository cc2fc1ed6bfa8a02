"""One file per dataset format, all behind the seam in `format.py`; `table.py` names them."""
