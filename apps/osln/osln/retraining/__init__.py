"""From approved labels to published weights."""
