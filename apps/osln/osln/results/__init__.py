"""Tables of results: every row of `osln.tables` trained, measured and reported on a cohort."""
