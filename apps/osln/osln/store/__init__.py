"""A folder of cases."""
