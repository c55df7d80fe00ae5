"""A folder of cases: layout, splits, revisions, approved labels."""
