"""A patient's images on one grid."""
