"""Tables of results: every row of `osln.rows.paper` trained, measured and reported on a cohort."""
