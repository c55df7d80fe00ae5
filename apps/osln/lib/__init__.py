"""MONAI Label's side of the app: asks `osln`, never the other way round."""
